"""Rare types give up their last field until what is left is frequent enough."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from item2vec.embeddings.types.type_map import ANY, Types, ancestors
from item2vec.errors import UsageError


@dataclass(frozen=True)
class BackOff:
    """How often types were too rare.

    Attributes
    ----------
    n_stays : int
        Rows whose type was looked at.
    n_types : int
        Distinct types before anything was dropped.
    n_kept : int
        Types that have a vector of their own, ancestors included.
    by_dropped : dict of int to int
        Rows by the number of fields that their type gave up.
    """

    n_stays: int
    n_types: int
    n_kept: int
    by_dropped: dict[int, int]

    @property
    def share(self) -> float:
        """Share of the rows whose type gave up a field, in [0, 1]."""
        return 1.0 - self.by_dropped.get(0, 0) / self.n_stays if self.n_stays else 0.0

    def to_json(self) -> dict[str, object]:
        """Return the counts as JSON types."""
        by_dropped = {str(n): rows for n, rows in self.by_dropped.items()}
        return {**asdict(self), "by_dropped": by_dropped, "share": self.share}

    @classmethod
    def from_json(cls, counts: Mapping[str, Any]) -> BackOff:
        """Read what :meth:`to_json` wrote."""
        by_dropped = {int(n): rows for n, rows in counts["by_dropped"].items()}
        return cls(counts["n_stays"], counts["n_types"], counts["n_kept"], by_dropped)


def check_support(min_support: object) -> None:
    """Refuse what is no least number of stays.

    Raises
    ------
    UsageError
        If it is no whole number from 1 on.
    """
    if isinstance(min_support, bool) or not isinstance(min_support, int) or min_support < 1:
        raise UsageError(f"min_support={min_support!r}; it is a whole number of stays, 1 at least")


def back_off(types: Types, min_support: int) -> tuple[dict[str, str], BackOff]:
    """Choose for each type the nearest ancestor with enough rows of its own.

    A type with fewer than `min_support` rows gives them to its parent, the type without the last field; what
    a parent has of its own and got from its children is counted in turn, up to the type of all, which takes
    what is left.

    Returns
    -------
    dict of str to str
        Every type's replacement, maybe itself.
    BackOff
    """
    rows: Counter[str] = Counter()
    for code, n in Counter(types.codes.tolist()).items():
        rows[types.names[code]] += n
    own = dict(rows)
    by_length: dict[int, set[str]] = defaultdict(set)
    for name in own:
        by_length[name.count("_") + 1].add(name)
    for length in range(max(by_length, default=0), 0, -1):
        for name in by_length[length]:
            if rows[name] < min_support:
                parent = ancestors(name)[1]
                rows[parent] += rows.pop(name)
                if parent != ANY:
                    by_length[length - 1].add(parent)
    homes = {leaf: next(one for one in ancestors(leaf) if one in rows) for leaf in own}
    dropped: Counter[int] = Counter()
    for leaf, home in homes.items():
        dropped[ancestors(leaf).index(home)] += own[leaf]
    facts = BackOff(len(types.codes), len(own), len(rows), dict(sorted(dropped.items())))
    return homes, facts
