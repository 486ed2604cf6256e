"""Who follows whom in the history: the parent of a version, its anchor, and what was accepted in between.

Two branches that each accept a version leave a history with two ends. A version under test then has one parent, the end
whose rows are nearest to its own, and small steps are counted along the line that leads to it. Accepting it joins them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from monitor.history_entry import HistoryEntry

# How far the rows under test are from those of an accepted version; lower is nearer.
Distance = Callable[[HistoryEntry], float]


def is_comparable(entry: HistoryEntry, config_fingerprint: str, exclude_data_hash: str) -> bool:
    """Whether a new version may be compared with this one.

    It was measured with the same configuration, is of other data, and was not released under a waiver.
    """
    return entry.config_fingerprint == config_fingerprint and entry.data_hash != exclude_data_hash and not entry.waived


def comparable(
    history: Iterable[HistoryEntry], config_fingerprint: str, exclude_data_hash: str
) -> tuple[HistoryEntry, ...]:
    """The versions that a new one may be compared with."""
    return tuple(entry for entry in history if is_comparable(entry, config_fingerprint, exclude_data_hash))


class Lineage:
    """The versions of a history in its order, and which came before which.

    ``before[i]``: a bit mask of the places of all versions that the one at place i follows, directly or not.
    """

    def __init__(self, history: Sequence[HistoryEntry]) -> None:
        self.entries = tuple(history)
        self.before: list[int] = []
        masks: dict[str, int] = {}  # places by id: two files may hold the same acceptance
        highest = 0
        for place, entry in enumerate(self.entries):
            if entry.parents is None:
                # Accepted by an earlier release: it followed all of a lower number. Not written yet: all in the list.
                if not entry.number or entry.number > highest:
                    mask = (1 << place) - 1
                else:
                    mask = sum(1 << i for i in range(place) if self.entries[i].number < entry.number)
            else:
                mask = 0
                for parent in entry.parents:
                    mask |= masks.get(parent, 0)
                for i in list_places(mask):
                    mask |= self.before[i]
            highest = max(highest, entry.number)
            self.before.append(mask)
            masks[entry.id] = masks.get(entry.id, 0) | 1 << place

    def find_ends(self, within: int | None = None) -> int:
        """The places that no other one follows, as a bit mask. ``within``: only these places count."""
        mask = (1 << len(self.entries)) - 1 if within is None else within
        followed = 0
        for i in list_places(mask):
            followed |= self.before[i]
        return mask & ~followed

    def select(self, mask: int) -> tuple[HistoryEntry, ...]:
        """The versions at the places of a bit mask, in the history's order."""
        return tuple(self.entries[i] for i in list_places(mask))

    def mask_comparable(self, config_fingerprint: str, exclude_data_hash: str) -> int:
        """The places of the versions that ``comparable`` lists."""
        return sum(
            1 << i
            for i, entry in enumerate(self.entries)
            if is_comparable(entry, config_fingerprint, exclude_data_hash)
        )

    def mask_line(self, end: HistoryEntry | None) -> int:
        """The places of ``end`` and of all that it follows; without an end, of the whole history."""
        if end is None:
            return (1 << len(self.entries)) - 1
        line = 0
        for i, entry in enumerate(self.entries):
            if entry.id == end.id:
                line |= self.before[i] | 1 << i
        return line


def list_places(mask: int) -> Iterator[int]:
    """
    >>> list(list_places(0b1011))
    [0, 1, 3]
    """
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def list_ends(history: Sequence[HistoryEntry]) -> tuple[HistoryEntry, ...]:
    """The versions that no other one follows: one, or one for each branch that was merged and not joined yet."""
    lineage = Lineage(history)
    return lineage.select(lineage.find_ends())


def list_followed(history: Sequence[HistoryEntry]) -> list[tuple[HistoryEntry, ...]]:
    """For each version the ones that it follows directly: none of the first, several where branches were joined."""
    lineage = Lineage(history)
    return [lineage.select(lineage.find_ends(mask)) for mask in lineage.before]


def find_own(history: Sequence[HistoryEntry], config_fingerprint: str, data_hash: str) -> HistoryEntry | None:
    """The entry of this data under this configuration, the latest where it was accepted several times, or None."""
    own = [e for e in history if (e.data_hash, e.config_fingerprint) == (data_hash, config_fingerprint)]
    return own[-1] if own else None


def follows(history: Sequence[HistoryEntry], entry: HistoryEntry, earlier: HistoryEntry) -> bool:
    """Whether ``entry`` was accepted by someone who had ``earlier`` in the history."""
    lineage = Lineage(history)
    return any(known.id == earlier.id for known in lineage.select(lineage.mask_line(entry)))


def list_parents(history: Sequence[HistoryEntry], config_fingerprint: str, data_hash: str) -> tuple[HistoryEntry, ...]:
    """The versions that may be the parent of the one with this ``data_hash``: the comparable ones that no comparable
    one follows.

    A version that was accepted itself, and that nothing follows yet, keeps the ones that it was compared with then:
    neither accepting a version nor merging another branch changes its verdict.
    """
    lineage = Lineage(history)
    usable = lineage.mask_comparable(config_fingerprint, data_hash)
    own = find_own(history, config_fingerprint, data_hash)
    if own is not None and any(own is end for end in lineage.select(lineage.find_ends())):
        usable = usable & lineage.mask_line(own) or usable
    return lineage.select(lineage.find_ends(usable))


def parent_of(
    history: Sequence[HistoryEntry], config_fingerprint: str, data_hash: str, distance: Distance = lambda entry: 0.0
) -> HistoryEntry | None:
    """The version that the one with this ``data_hash`` is compared with, or None.

    Of several, after a merge, the nearest by ``distance``: it shares most rows, so least of what is compared is new.
    Of equally near ones it is the last in the history's order.
    """
    return min(reversed(list_parents(history, config_fingerprint, data_hash)), key=distance, default=None)


def anchor_of(
    history: Sequence[HistoryEntry], config_fingerprint: str, data_hash: str, parent: HistoryEntry | None = None
) -> HistoryEntry | None:
    """The latest comparable version that is a baseline or was confirmed by a person, or None.

    The parent moves with every accepted version and the anchor does not, so that small steps in one direction add up.
    ``parent``: only it and the versions that it follows count.
    """
    lineage = Lineage(history)
    line = lineage.select(lineage.mask_comparable(config_fingerprint, data_hash) & lineage.mask_line(parent))
    confirmed = [entry for entry in line if entry.is_confirmed]
    return confirmed[-1] if confirmed else None


def accepted_since(
    anchor: HistoryEntry, history: Sequence[HistoryEntry], data_hash: str, parent: HistoryEntry | None = None
) -> tuple[HistoryEntry, ...]:
    """The versions comparable with the anchor that were accepted since, in the history's order: all but the anchor and
    those that it follows. ``parent``: only it and the versions that it follows count.
    """
    lineage = Lineage(history)
    usable = lineage.mask_comparable(anchor.config_fingerprint, data_hash)
    return lineage.select(usable & lineage.mask_line(parent) & ~lineage.mask_line(anchor))


def list_line(history: Sequence[HistoryEntry], parent: HistoryEntry, data_hash: str) -> tuple[HistoryEntry, ...]:
    """The parent and the versions that it follows, in the history's order, as far as they are comparable with it."""
    lineage = Lineage(history)
    usable = lineage.mask_comparable(parent.config_fingerprint, data_hash)
    return lineage.select(usable & lineage.mask_line(parent))
