"""The mixture of a version: which share of its rows each source has, beside another version or what is intended."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from monitor.measures.compression import OTHER_SOURCES

# A source with a smaller share in both versions, such as one month or user of many, counts with others like it.
MIN_SHARE = 0.05
# A source of which this share of the rows is gone is lost, which the rule `coverage` says.
LOST_SHARE = 0.5


@dataclass(frozen=True)
class Mixture:
    """The rows of the sources that two versions have in common.

    - ``sources``: for each source, the share that it had or should have, and how many rows it has now. What is counted
      together stands under OTHER_SOURCES, last.
    - ``rows``: of the whole version, with those of sources that are not compared. ``rows_before``: of the other version
      in these sources; None where the shares are intended ones.
    """

    sources: dict[str, tuple[float, int]]
    rows: int
    rows_before: int | None = None

    @property
    def compared(self) -> int:
        """How many rows of the version the sources have."""
        return sum(now for _, now in self.sources.values())

    @property
    def shares(self) -> dict[str, tuple[float, float]]:
        """For each source, the share that it had or should have, and the one that it has, of the rows compared."""
        return {name: (before, now / self.compared) for name, (before, now) in self.sources.items()}

    @property
    def moved(self) -> float:
        """The share of the version's rows that would have to be of other sources: the total variation distance.

        >>> Mixture({"chat": (0.4, 55), "maths": (0.3, 15), "code": (0.3, 30)}, rows=100).moved
        0.15
        """
        distance = math.fsum(abs(now - before) for before, now in self.shares.values()) / 2
        return round(distance * self.compared / self.rows, 12)


def compare_mixtures(before: Mapping[str, int], now: Mapping[str, int]) -> Mixture | None:
    """The mixture of a version beside that of another one; both as rows by source, from ``count_sources``.

    Sources that are new or lost are left out: the others share what remains. None with fewer than two to compare.

    >>> compare_mixtures({"chat": 40, "maths": 60}, {"chat": 50, "maths": 50, "web": 900}).shares
    {'maths': (0.6, 0.5), 'chat': (0.4, 0.5)}
    """
    known = _list_known(before, now)
    had, has = sum(before[name] for name in known), sum(now[name] for name in known)
    large = [name for name in known if before[name] >= MIN_SHARE * had or now[name] >= MIN_SHARE * has]
    sources = {name: (before[name] / had, now[name]) for name in large}
    rest = 1 - sum(before[name] for name in large) / had if had else 0.0
    return _add_rest(Mixture(sources, sum(now.values()), had), rest, has)


def compare_with_weights(
    weights: Mapping[str, float], before: Mapping[str, int], now: Mapping[str, int]
) -> Mixture | None:
    """The mixture of a version beside the intended one. ``weights``: share by source; sources that are not named have
    together what is left of 1.

    ``before``: the rows by source of another version. Sources that are new or lost since are left out, as in
    ``compare_mixtures``. None with fewer than two to compare.
    """
    known = _list_known(before, now)
    named = [name for name in known if name in weights]
    has = sum(now[name] for name in known)
    others = max(0.0, 1 - math.fsum(weights.values())) if len(named) < len(known) else 0.0
    whole = math.fsum([*(weights[name] for name in named), others])
    if not whole:
        return None
    sources = {name: (weights[name] / whole, now[name]) for name in named}
    return _add_rest(Mixture(sources, sum(now.values())), others / whole, has)


def list_shifts(versions: Sequence[Mapping[str, int] | None]) -> tuple[float, ...]:
    """How far each version moved from the one before it. ``versions``: rows by source, in the order they were accepted;
    None where that was not recorded.
    """
    steps = [
        compare_mixtures(before, now)
        for before, now in itertools.pairwise(versions)
        if before is not None and now is not None
    ]
    return tuple(step.moved for step in steps if step is not None)


def _list_known(before: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    kept = 1 - LOST_SHARE
    names = [name for name in before if name != OTHER_SOURCES and now.get(name, 0) > kept * before[name]]
    return sorted(names, key=lambda name: (-before[name], name))


def _add_rest(named: Mixture, share: float, rows: int) -> Mixture | None:
    """The mixture with what the sources that are not named have together: this share before, of ``rows`` now."""
    rest = rows - named.compared
    sources = named.sources | {OTHER_SOURCES: (max(0.0, share), rest)} if rest else named.sources
    return replace(named, sources=sources) if len(sources) > 1 else None
