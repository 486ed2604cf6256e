"""The commands of `select` whose methods ask models or a judge: InsTag, MoDS, Cherry, AlpaGasus, QuRating."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from entropylaw.options import take_options
from entropylaw.pipeline_command import Place
from entropylaw.select.command import app
from entropylaw.select.options import CommonOptions, Model
from entropylaw.select.run import run_selection

__all__ = ["app"]


def _name_model(key: str, help: str = "Folder or Hub id.") -> object:
    return typer.Option(help=help, parser=Place, metavar="FOLDER|HUB_ID", show_default=f"row_scores.{key}")


Labels = Annotated[
    str | None,
    typer.Option(
        help="Data file whose rows hold the labels already.",
        parser=Place,
        metavar="FILE",
        show_default="row_scores.labels, or the pool",
    ),
]


class Criterion(StrEnum):
    writing_style = "writing_style"
    required_expertise = "required_expertise"
    facts_and_trivia = "facts_and_trivia"
    educational_value = "educational_value"
    mean = "mean"


@app.command("instag")
@take_options
def select_instag_rows(
    common: CommonOptions,
    tagger: Annotated[str | None, _name_model("tagger")] = None,
    labels: Labels = None,
) -> None:
    """Rows with the most tags first, of these the ones that bring a new tag; then the same again with the rest.

    Rows may hold tags already, under `tags`; the tagger is asked for those of the others.

    Example: entropylaw select instag pool.jsonl --out chosen.jsonl --rows 6000 --tagger models/instagger
    """
    run_selection("instag", common, scoring={"tagger": tagger, "labels": labels})


@app.command("mods")
@take_options
def select_mods_rows(
    common: CommonOptions,
    model: Model = None,
    reward_model: Annotated[str | None, _name_model("reward_model")] = None,
    quality_above: Annotated[
        float | None, typer.Option(help="Lowest reward of a good row.", show_default="selection.quality_above")
    ] = None,
    necessity_below: Annotated[
        float | None,
        typer.Option(help="Highest reward of a failed answer.", show_default="selection.necessity_below"),
    ] = None,
) -> None:
    """Good rows that cover the pool, and those that a model trained on them fails at; a reward model says both.

    Example: entropylaw select mods pool.jsonl --out chosen.jsonl --rows 1000 --reward-model models/reward
    """
    changes = {"quality_above": quality_above, "necessity_below": necessity_below}
    run_selection("mods", common, changes, {"model": model, "reward_model": reward_model})


@app.command("cherry")
@take_options
def select_cherry_rows(common: CommonOptions, model: Model = None) -> None:
    """Like superfiltering-loss, by a model that first learned from ten rows of each of a hundred kinds.

    Example: entropylaw select cherry pool.jsonl --out chosen.jsonl --rows 2500 --model models/base
    """
    run_selection("cherry", common, scoring={"model": model})


@app.command("alpagasus")
@take_options
def select_alpagasus_rows(
    common: CommonOptions,
    lowest_grade: Annotated[
        float | None, typer.Option(help="Lowest grade that is taken.", show_default="selection.lowest_grade")
    ] = None,
    labels: Labels = None,
) -> None:
    """Rows whose answer the judge of params.yaml grades 4.5 or better, of 5; needs judge.endpoint.

    Rows may hold grades already, under `grade`. The texts of the others are sent to that endpoint; each is paid for
    once, and its grade kept in .entropylaw/judgments.jsonl.

    Example: entropylaw select alpagasus pool.jsonl --out chosen.jsonl --rows 9000
    """
    run_selection("alpagasus", common, {"lowest_grade": lowest_grade}, {"labels": labels})


@app.command("qurating")
@take_options
def select_qurating_rows(
    common: CommonOptions,
    rater: Annotated[str | None, _name_model("rater")] = None,
    criterion: Annotated[
        Criterion | None, typer.Option(help="What is rated.", show_default="selection.criterion")
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="0: the best rows; higher: more of the others.", show_default="selection.temperature"),
    ] = None,
) -> None:
    """Rows drawn by a rater's score of their style, expertise, facts or educational value: better ones more often.

    Example: entropylaw select qurating pool.jsonl --out chosen.jsonl --rows 10000 --criterion mean --temperature 2
    """
    changes = {"criterion": criterion.value if criterion else None, "temperature": temperature}
    run_selection("qurating", common, changes, {"rater": rater})
