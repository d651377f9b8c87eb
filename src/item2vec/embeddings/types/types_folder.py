"""Type embeddings on disk: the rules and counts as JSON, the vectors in a folder of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from item2vec.embeddings.types.back_off import BackOff, check_support
from item2vec.embeddings.types.type_embeddings import TypeEmbeddings
from item2vec.embeddings.types.type_map import TypeMap
from item2vec.errors import CorruptArtifactError, SourceError, UsageError

FILE, COUNTS = "types.json", "bookings.parquet"
NOT_KEPT = ("type_map", "workers")
DAMAGED = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError)


def save_types(types: TypeEmbeddings, folder: Path) -> None:
    """Write fitted embeddings; see :meth:`TypeEmbeddings.save`."""
    if not hasattr(types, "vectors_"):
        raise UsageError("the type embeddings are not fitted; call fit first")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty; give a new folder")
    types.vectors_.save(folder / "vectors")
    about = {
        "type_map": types.type_map_.to_document(),
        "settings": {name: one for name, one in types.get_params().items() if name not in NOT_KEPT},
        "known": types.known_,
        "back_off": {name: facts.to_json() for name, facts in types.back_off_.items()},
        "rejections": [types.n_rejections_, types.n_rejections_unknown_],
    }
    pq.write_table(types.booked_, folder / COUNTS, write_page_checksum=True)
    (folder / FILE).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", "utf-8")


def load_types(folder: Path) -> TypeEmbeddings:
    """Read what :func:`save_types` wrote; see :meth:`TypeEmbeddings.load`."""
    from item2vec.embeddings.item_vectors import ItemVectors

    if not (folder / FILE).is_file():
        raise SourceError(f"{folder} holds no type embeddings; save some there first")
    try:
        about = json.loads((folder / FILE).read_text("utf-8"))
        rules = TypeMap.from_document(about["type_map"], str(folder / FILE))
        found = TypeEmbeddings(type_map=rules, **about["settings"])
        check_support(found.min_support)
        found.known_ = dict(about["known"])
        found.back_off_ = {name: BackOff.from_json(facts) for name, facts in about["back_off"].items()}
        found.n_rejections_, found.n_rejections_unknown_ = about["rejections"]
        with pq.ParquetFile(folder / COUNTS, page_checksum_verification=True) as file:
            found.booked_ = file.read()
    except (UsageError, *DAMAGED) as error:
        raise CorruptArtifactError(f"{folder / FILE} is damaged ({error}); train the types again") from error
    found.type_map_ = rules
    found.set_vectors(ItemVectors.load(folder / "vectors"))
    return found
