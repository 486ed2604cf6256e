"""The sections of the root's params.yaml that a study depends on: it measures and trains as the pipeline does."""

from __future__ import annotations

from dataclasses import dataclass

from corpus.errors import ParamsError
from corpus.params import PARAMS_FILE, read_section
from entropylaw.repository.layout import SFT
from entropylaw.study.params import StudyParams
from monitor.measures.compression import CompressionParams
from training.evaluation_params import EvaluationParams
from training.judge_params import JudgeParams
from training.kto import KtoParams
from training.probe_run import ProbeParams
from training.row_scores import RowScoreParams
from training.sft import SftParams


@dataclass(frozen=True)
class Sections:
    """``trainer``: the section ``sft`` in a study of conversations, and ``kto`` in one of preferences."""

    compression: CompressionParams
    probe: ProbeParams
    trainer: SftParams | KtoParams
    evaluation: EvaluationParams
    row_scores: RowScoreParams
    judge: JudgeParams
    dataset: str

    @property
    def max_length(self) -> int:
        """Tokens after which training cuts a conversation, or an answer with its prompt."""
        return self.trainer.max_length


def read_sections(params: StudyParams) -> Sections:
    """Raises ParamsError naming the section or key that is missing."""
    is_sft = params.dataset == SFT
    evaluation = read_section(EvaluationParams, "evaluation")
    if params.evaluation == "mt_bench" and evaluation.mt_bench.questions is None:
        # Said before the first model is trained.
        raise ParamsError(
            f"{PARAMS_FILE}: evaluation.mt_bench.questions: not set, and the study scores by MT-bench; set it and the "
            "section judge, or study.evaluation: heldout"
        )
    return Sections(
        read_section(CompressionParams, "compression"),
        read_section(ProbeParams, "probe"),
        read_section(SftParams, "sft") if is_sft else read_section(KtoParams, "kto"),
        evaluation,
        read_section(RowScoreParams, "row_scores"),
        read_section(JudgeParams, "judge"),
        params.dataset,
    )
