"""``item2vec export``: a release's vectors as files that other tools read."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from item2vec.cli.options import RUNS, Debug, Quiet, RunFolderArgument, RunsDir, plain_errors, run_folder
from item2vec.cli.show import print_places
from item2vec.errors import UsageError

if TYPE_CHECKING:
    from item2vec.artifacts import Release
    from item2vec.embeddings import ItemVectors


class Format(StrEnum):
    """The kinds of file."""

    word2vec = "word2vec"
    parquet = "parquet"
    npy = "npy"
    projector = "projector"
    qdrant = "qdrant"
    milvus = "milvus"
    pgvector = "pgvector"
    faiss = "faiss"


class Mode(StrEnum):
    """The readings."""

    similar = "similar"
    next = "next"


OF_STORES = (Format.qdrant, Format.milvus, Format.pgvector, Format.faiss)


@plain_errors
def export(
    run: RunFolderArgument,
    format: Annotated[Format, typer.Option(help="The kind of file; see above.")],
    to: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="The file; for npy, projector, pgvector and faiss the folder. An older one is replaced.",
        ),
    ],
    binary: Annotated[
        bool, typer.Option("--binary", help="word2vec: binary in place of text; smaller and faster.")
    ] = False,
    attributes: Annotated[
        list[str] | None,
        typer.Option(
            "--attribute", metavar="COLUMN", help="projector: a column of the item table; may be repeated."
        ),
    ] = None,
    mode: Annotated[
        Mode | None,
        typer.Option(
            help="qdrant, milvus, pgvector, faiss: the reading, similar (default) or next.", metavar="MODE"
        ),
    ] = None,
    release: Annotated[
        str | None, typer.Option(metavar="RELEASE", help="Another release than the current one.")
    ] = None,
    runs_dir: RunsDir = RUNS,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a run's vectors into files that other tools read; what is read is verified first.

    `parquet`: one file with item_id, count, vector and context_vector, for Spark, DuckDB, pandas:

        item2vec export demo --format parquet --to vectors.parquet

    `npy`: a folder with ids.npy, counts.npy, vectors.npy and context_vectors.npy; row i of each is one item:

        item2vec export demo --format npy --to vectors

    `word2vec`: the format of word2vec.c, for gensim's KeyedVectors.load_word2vec_format and most tools; the
    input vectors only:

        item2vec export demo --format word2vec --binary --to vectors.bin

    `projector`: a folder with vectors.tsv and metadata.tsv, to be loaded on projector.tensorflow.org or in
    TensorBoard's projector; the input vectors, and the attributes you choose to colour them by:

        item2vec export demo --format projector --to map --attribute market --attribute price

    `qdrant`, `milvus`, `pgvector`, `faiss`: what these stores load, unit vectors for an inner product with
    the items' attributes beside them (requests of 500 points, one per line; a file for bulk import;
    schema.sql and items.csv for psql's copy; index.faiss and ids.json):

        item2vec export demo --format pgvector --to pg

    The same in Python: `item2vec.load("runs/demo").vectors.save_parquet("vectors.parquet")`, and
    `item2vec.recommendations.exports.save_pgvector(item2vec.load("runs/demo"), "pg")`.
    """
    if mode is not None and format not in OF_STORES:
        raise UsageError(f"--mode is of --format {', '.join(OF_STORES)}; {format} is written one way only")
    if binary and format is not Format.word2vec:
        raise UsageError(f"--binary is of --format word2vec; {format} has one form only")
    if attributes and format is not Format.projector:
        raise UsageError(f"--attribute is of --format projector; {format} chooses its columns itself")
    from item2vec.artifacts import read_release
    from item2vec.embeddings import ItemVectors
    from item2vec.run.load import VECTORS

    found = read_release(run_folder(run, runs_dir), release)
    if format in OF_STORES:
        vectors = _write_store(found, format, to, mode or Mode.similar)
    else:
        vectors = ItemVectors.load(found.open("embeddings").path / VECTORS)
        _write(vectors, found, format, to, binary, attributes or ())
    if not quiet:
        print_places({f"{len(vectors):,} items × {vectors.vector_size}": to})


def _write_store(release: Release, format: Format, to: Path, mode: Mode) -> ItemVectors:
    """Write what a store loads; return the vectors that were read for it."""
    from item2vec.recommendations import exports
    from item2vec.run.load import load_recommender

    rec = load_recommender(release)
    getattr(exports, f"save_{format}")(rec, to, mode.value)
    return rec.vectors


def _write(
    vectors: ItemVectors,
    release: Release,
    format: Format,
    to: Path,
    binary: bool,
    attributes: list[str] | tuple[()],
) -> None:
    if format is Format.word2vec:
        vectors.save_word2vec_format(to, binary=binary)
    elif format is Format.parquet:
        vectors.save_parquet(to)
    elif format is Format.npy:
        vectors.save_npy(to)
    else:
        from item2vec.run.load import read_items

        items = read_items(release.open("index").path) if attributes else None
        vectors.save_projector(to, items=items, attributes=attributes)
