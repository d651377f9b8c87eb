"""Item vectors as the two tables that TensorBoard's embedding projector loads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from item2vec.errors import UsageError
from item2vec.vocabulary import Vocabulary

NAMES = ("vectors.tsv", "metadata.tsv")
_BREAKS = re.compile(r"[\t\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")  # what ends a cell or a line somewhere


def write(
    folder: Path,
    vocabulary: Vocabulary,
    vectors: npt.NDArray[np.float32],
    items: pa.Table | None,
    attributes: Sequence[str],
) -> None:
    """Write ``vectors.tsv`` (no header) and ``metadata.tsv`` (with one, as it has several columns).

    Raises
    ------
    UsageError
        If the items are no Arrow table, or an attribute is no column of it.
    """
    ids = vocabulary.ids.to_pylist()
    columns = [("item_id", ids), ("count", vocabulary.counts.tolist())]
    columns += [(name, cells) for name, cells in _attributes(vocabulary, items, attributes)]
    line = "\t".join(["%.9g"] * vectors.shape[1]) + "\n"
    with (folder / "vectors.tsv").open("w", encoding="utf-8", newline="") as out:
        out.writelines(line % tuple(row.tolist()) for row in vectors)
    with (folder / "metadata.tsv").open("w", encoding="utf-8", newline="") as out:
        out.write(_row(name for name, _ in columns))
        out.writelines(map(_row, zip(*(cells for _, cells in columns), strict=True)))


def _row(cells: Any) -> str:
    return "\t".join("" if cell is None else _BREAKS.sub(" ", str(cell)) for cell in cells) + "\n"


def _attributes(
    vocabulary: Vocabulary, items: pa.Table | None, names: Sequence[str]
) -> Iterator[tuple[str, list[Any]]]:
    """Yield each chosen column in item-number order."""
    if items is not None and not isinstance(items, pa.Table):
        raise UsageError(
            f"items must be a pyarrow.Table, not {type(items).__name__}; pyarrow.Table.from_pandas makes one"
            " of a DataFrame"
        )
    if not names:
        return
    if items is None:
        raise UsageError(f"attributes {', '.join(map(repr, names))} need an item table; give items=")
    if missing := [name for name in ("item_id", *names) if name not in items.column_names]:
        raise UsageError(
            f"the item table has no column {missing[0]!r}; it has {', '.join(items.column_names)}"
        )
    if items["item_id"].type != vocabulary.ids.type:
        raise UsageError(
            f"item_id is {items['item_id'].type} in the item table and {vocabulary.ids.type} in the model;"
            " read both with the same id_type"
        )
    rows = pc.index_in(vocabulary.ids, value_set=items["item_id"].combine_chunks())
    for name in dict.fromkeys(names):
        if name != "item_id":
            yield name, items[name].take(rows).to_pylist()
