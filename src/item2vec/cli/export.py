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
    """The kinds of file; each has a method of ItemVectors."""

    word2vec = "word2vec"
    parquet = "parquet"
    npy = "npy"
    projector = "projector"


@plain_errors
def export(
    run: RunFolderArgument,
    format: Annotated[Format, typer.Option(help="The kind of file; see above.")],
    to: Annotated[
        Path,
        typer.Option(
            metavar="PATH", help="The file, for npy and projector the folder; an older one is replaced."
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

    The same in Python: `item2vec.load("runs/demo").vectors.save_parquet("vectors.parquet")`.
    """
    if binary and format is not Format.word2vec:
        raise UsageError(f"--binary is of --format word2vec; {format} has one form only")
    if attributes and format is not Format.projector:
        raise UsageError(f"--attribute is of --format projector; {format} holds ids, counts and vectors only")
    from item2vec.artifacts import read_release
    from item2vec.embeddings import ItemVectors
    from item2vec.run.load import VECTORS

    found = read_release(run_folder(run, runs_dir), release)
    vectors = ItemVectors.load(found.open("embeddings").path / VECTORS)
    _write(vectors, found, format, to, binary, attributes or ())
    if not quiet:
        print_places({f"{len(vectors):,} items × {vectors.vector_size}": to})


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
