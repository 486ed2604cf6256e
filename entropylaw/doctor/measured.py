"""Checks of what is made once and then kept: the base model and the calibration."""

from __future__ import annotations

from collections.abc import Iterator

from corpus.errors import EntropylawError
from corpus.params import read_section
from entropylaw.doctor.checkout import Checkout
from entropylaw.doctor.finding import Finding
from entropylaw.repository import layout


def check_base_model(checkout: Checkout) -> Iterator[Finding]:
    """Whether the model that every version is probed from is here."""
    from training.base_model import CARD, read_card

    pretrained = (checkout.params.get("base_model") or {}).get("pretrained")
    kind = f"pretrained, {pretrained}" if pretrained else "small, from the baseline"
    if checkout.is_stale("base_model"):
        yield Finding(
            "base model", "to do", f"{kind}; has to be made: {checkout.stale['base_model']}", f"run `{checkout.repro}`"
        )
    elif not (layout.BASE_MODEL / CARD).exists():
        yield Finding(
            "base model",
            "to do",
            f"{kind}; made, but not here",
            f"run `dvc pull {checkout.as_typed(layout.BASE_MODEL)}`",
        )
    else:
        card = read_card(layout.BASE_MODEL)
        yield Finding("base model", "ok", f"{kind}, {card.parameters:,} parameters")


def check_second_model(checkout: Checkout) -> Iterator[Finding]:
    """Whether the model that reads rows beside the base model is here, where params.yaml names one."""
    from entropylaw.probed_models import find_unwatched_second
    from training.second_model import SecondModelParams

    params = read_section(SecondModelParams, "second_model")
    if params.pretrained is None:
        return
    params.require_here()
    unwatched = find_unwatched_second(params)
    for text in unwatched:
        cause, _, remedy = text.rpartition("; ")
        yield Finding("second model", "to do", cause, remedy)
    if not unwatched:
        yield Finding("second model", "ok", f"{params.pretrained}, for {params.tokens:,} tokens of a dataset")


def check_calibration(checkout: Checkout) -> Iterator[Finding]:
    """Whether what is normal is known, for this configuration."""
    from entropylaw.repository.results import load_calibration

    if checkout.is_stale("calibration"):
        reason = checkout.stale["calibration"]
        yield Finding("calibration", "to do", f"has to be made: {reason}", f"run `{checkout.repro}`")
        return
    try:
        calibration = load_calibration()
    except EntropylawError as error:
        text, _, remedy = str(error).rpartition("; ")
        yield Finding("calibration", "broken", text, remedy)
        return
    runs = f"{len(calibration.noise_l)} seeds, {len(calibration.updates)} benign updates"
    law = f", {len(calibration.points)} runs of the law" if calibration.points else ", no runs of the law"
    yield Finding("calibration", "ok", f"of this configuration: {calibration.rows:,} rows, {runs}{law}")
