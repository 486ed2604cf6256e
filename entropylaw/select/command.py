"""The command `select`: selects the rows to train on, by ZIP or one of the methods it is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from entropylaw.options import count_workers, take_options
from entropylaw.pipeline_command import Place
from entropylaw.select.options import CodecChoice, CommonOptions, Compat, Model, Window, ZipOptions
from entropylaw.select.run import run_selection

app = typer.Typer(
    help="Select the rows to train on, by ZIP or one of the methods it is compared with.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("configured")
@take_options
def select_as_configured(common: CommonOptions) -> None:
    """By the method that selection.method of params.yaml names, as the stage `select` does.

    Example: entropylaw select configured pool.jsonl --out chosen.jsonl
    """
    from corpus.params import read_section
    from entropylaw.printing import note
    from entropylaw.select.watched import find_unwatched
    from selection.engines import count_cores
    from selection.methods import SelectionParams
    from training.row_scores import RowScoreParams

    # Read here, so that no text of params.yaml is ever part of a shell's command.
    params = read_section(SelectionParams, "selection")
    method = params.method
    note(*find_unwatched(params, read_section(RowScoreParams, "row_scores")))
    run_selection(method, common, workers=count_cores() if method == "zip" else 1)


@app.command("zip")
@take_options
def select_zip_rows(common: CommonOptions, zip: ZipOptions) -> None:
    """ZIP, the paper's Algorithm 1: rows that keep the compression ratio of the whole selection low.

    Example: entropylaw select zip pool.jsonl --out chosen.jsonl --rows 10000 --window global
    """
    workers = count_workers(zip.workers)
    window = zip.window
    if window is None and (zip.codec is CodecChoice.zlib or zip.compat is Compat.reference):
        window = Window.codec  # zlib has no other
    choices = {"window": window, "codec": zip.codec, "compat": zip.compat}
    changes = {
        **{"k1": zip.k1, "k2": zip.k2, "k3": zip.k3, "level": zip.level},
        **{name: choice.value for name, choice in choices.items() if choice},
    }
    run_selection("zip", common, changes, workers=workers, engine=zip.engine.value)


@app.command("random")
@take_options
def select_random_rows(common: CommonOptions) -> None:
    """Rows drawn at random, each as likely as any other.

    Example: entropylaw select random pool.jsonl --out chosen.jsonl --rows 10000 --seed 1
    """
    run_selection("random", common)


@app.command("cluster")
@take_options
def select_cluster_rows(common: CommonOptions) -> None:
    """K-means on text embeddings: the row nearest to the centre of each of as many clusters as rows are wanted.

    Example: entropylaw select cluster pool.jsonl --out chosen.jsonl --rows 1000
    """
    run_selection("cluster", common)


@app.command("perplexity")
@take_options
def select_perplexity_rows(common: CommonOptions, model: Model = None) -> None:
    """Rows with the highest loss of their answers.

    Example: entropylaw select perplexity pool.jsonl --out chosen.jsonl --rows 10000 --model models/base
    """
    run_selection("perplexity", common, scoring={"model": model})


@app.command("superfiltering")
@take_options
def select_superfiltering_rows(common: CommonOptions, model: Model = None) -> None:
    """Rows whose prompt helps least with the answer: perplexity given the prompt over perplexity without, below 1.

    Example: entropylaw select superfiltering pool.jsonl --out chosen.jsonl --rows 10000 --model models/base
    """
    run_selection("superfiltering", common, scoring={"model": model})


@app.command("superfiltering-loss")
@take_options
def select_superfiltering_loss_rows(common: CommonOptions, model: Model = None) -> None:
    """Like superfiltering with mean losses in place of perplexities, as the IFD paper defines it.

    Example: entropylaw select superfiltering-loss pool.jsonl --out chosen.jsonl --rows 10000 --model models/base
    """
    run_selection("superfiltering-loss", common, scoring={"model": model})


@app.command("deita")
@take_options
def select_deita_rows(
    common: CommonOptions,
    complexity_scorer: Annotated[
        str | None,
        typer.Option(
            help="Folder or Hub id.",
            parser=Place,
            metavar="FOLDER|HUB_ID",
            show_default="row_scores.complexity_scorer",
        ),
    ] = None,
    quality_scorer: Annotated[
        str | None,
        typer.Option(
            help="Folder or Hub id.", parser=Place, metavar="FOLDER|HUB_ID", show_default="row_scores.quality_scorer"
        ),
    ] = None,
) -> None:
    """Rows with the highest complexity times quality, passing over rows too similar to one already taken.

    Example: entropylaw select deita pool.jsonl --out chosen.jsonl --rows 6000 --quality-scorer models/quality
    """
    run_selection("deita", common, scoring={"complexity_scorer": complexity_scorer, "quality_scorer": quality_scorer})


@app.command("score")
@take_options
def select_score_rows(common: CommonOptions) -> None:
    """Preferences with the highest grade of the chosen answer.

    Example: entropylaw select score pairs.jsonl --out chosen.jsonl --rows 5000
    """
    run_selection("score", common)


@app.command("length")
@take_options
def select_longest_rows(common: CommonOptions) -> None:
    """Rows with the longest answers: in tokens with --tokens or --tokenizer, else in characters.

    Example: entropylaw select length pool.jsonl --out chosen.jsonl --rows 1000
    """
    run_selection("length", common)


@app.command("dsir")
@take_options
def select_dsir_rows(
    common: CommonOptions,
    target: Annotated[
        Path | None,
        typer.Option(help="File of rows like those that are wanted.", show_default="selection.target of params.yaml"),
    ] = None,
) -> None:
    """DSIR: rows whose words and pairs of words look like those of a target file, drawn at random.

    Example: entropylaw select dsir pool.jsonl --target wanted.jsonl --out chosen.jsonl --rows 10000
    """
    run_selection("dsir", common, {"target": None if target is None else str(target)})


@app.command("c4")
@take_options
def select_c4_rows(common: CommonOptions) -> None:
    """Random rows among those that pass the rules of C4, which were made for web pages.

    Example: entropylaw select c4 pool.jsonl --out chosen.jsonl --rows 10000
    """
    run_selection("c4", common)


@app.command("gopher")
@take_options
def select_gopher_rows(common: CommonOptions) -> None:
    """Random rows among those that pass the quality and repetition rules of Gopher, which were made for web pages.

    Example: entropylaw select gopher pool.jsonl --out chosen.jsonl --rows 10000
    """
    run_selection("gopher", common)


@app.command("fineweb")
@take_options
def select_fineweb_rows(common: CommonOptions) -> None:
    """Random rows among those that pass the rules of FineWeb: most of Gopher's and C4's, and three of its own.

    Example: entropylaw select fineweb pool.jsonl --out chosen.jsonl --rows 10000
    """
    run_selection("fineweb", common)


@app.command("k-centre")
@take_options
def select_k_centre_rows(common: CommonOptions) -> None:
    """k-centre greedy on text embeddings: each time the row farthest from all rows taken.

    Example: entropylaw select k-centre pool.jsonl --out chosen.jsonl --rows 1000
    """
    run_selection("k-centre", common)


@app.command("novelsum")
@take_options
def select_novelsum_rows(common: CommonOptions) -> None:
    """NovelSelect on text embeddings: each time the row with the highest novelty beside the rows taken.

    Example: entropylaw select novelsum pool.jsonl --out chosen.jsonl --rows 1000
    """
    run_selection("novelsum", common)
