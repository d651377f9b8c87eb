"""Item vectors to other tools and back: every bit, from every kind of file, and bad files in words."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gensim.models import KeyedVectors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from item2vec.embeddings import ItemVectors, vectors_npy
from item2vec.embeddings.vector_files import new_file, new_files
from item2vec.errors import DataError, RunError, SourceError, UsageError
from item2vec.vocabulary import Vocabulary

SAVE: dict[str, Callable[..., None]] = {
    "word2vec": lambda v, path: v.save_word2vec_format(path, fvocab=f"{path}.counts"),
    "word2vec binary": lambda v, path: v.save_word2vec_format(path, fvocab=f"{path}.counts", binary=True),
    "parquet": lambda v, path: v.save_parquet(path),
    "npy": lambda v, path: v.save_npy(path),
}
LOAD: dict[str, Callable[..., ItemVectors]] = {
    "word2vec": lambda path, kind: ItemVectors.load_word2vec_format(path, f"{path}.counts", id_type=kind),
    "word2vec binary": lambda path, kind: ItemVectors.load_word2vec_format(
        path, f"{path}.counts", binary=True, id_type=kind
    ),
    "parquet": lambda path, kind: ItemVectors.load_parquet(path),
    "npy": lambda path, kind: ItemVectors.load_npy(path),
}
FOLDERS = {"npy": lambda v, path: v.save_npy(path), "projector": lambda v, path: v.save_projector(path)}
FILES = {name: save for name, save in SAVE.items() if name != "npy"}


def make(n: int = 5, d: int = 3, kind: str = "string") -> ItemVectors:
    rng = np.random.default_rng(0)
    ids = (
        pa.array([10 * k - 7 for k in range(n)])
        if kind == "int64"
        else pa.array([f"hôtel-{k}" for k in range(n)])
    )
    return ItemVectors(Vocabulary(ids, np.arange(n, 0, -1)), rng.normal(size=(n, d)), rng.normal(size=(n, d)))


def assert_same(one: ItemVectors, other: ItemVectors, context: bool = True) -> None:
    assert one.vocabulary == other.vocabulary
    assert one.vectors.tobytes() == other.vectors.tobytes()
    if context and one.context_vectors is not None:
        assert other.context_vectors is not None
        assert one.context_vectors.tobytes() == other.context_vectors.tobytes()
    else:
        assert other.context_vectors is None


# Both ways


@st.composite
def item_vectors(draw: st.DrawFn) -> ItemVectors:
    """Any ids of one type and any finite float32, denormals and −0 among them."""
    word = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6).filter(
        lambda s: not any(c.isspace() for c in s) and not s.endswith("\0")
    )
    number = st.integers(-(2**63), 2**63 - 1)
    ids = draw(st.lists(draw(st.sampled_from([word, number])), min_size=1, max_size=5, unique=True))
    d = draw(st.integers(1, 4))
    bits = st.integers(0, 2**32 - 1).map(lambda b: struct.unpack("<f", struct.pack("<I", b))[0])
    nine_digits = st.floats(1000, 1024, width=32)  # eight do not tell these apart
    value = bits.filter(np.isfinite) | nine_digits
    tables = [
        np.array([[draw(value) for _ in range(d)] for _ in ids], np.float32)
        for _ in range(draw(st.integers(1, 2)))
    ]
    counts = np.array([draw(st.integers(0, 2**63 - 1)) for _ in ids])
    array = pa.array(ids, pa.string() if isinstance(ids[0], str) else pa.int64())
    return ItemVectors(Vocabulary(array, counts), *tables)


@pytest.mark.parametrize("format", SAVE)
@given(vectors=item_vectors())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_bit_comes_back(tmp_path: Path, format: str, vectors: ItemVectors) -> None:
    SAVE[format](vectors, tmp_path / "v")
    back = LOAD[format](tmp_path / "v", vectors.vocabulary.id_type)
    assert_same(vectors, back, context="word2vec" not in format)


@pytest.mark.parametrize("binary", [False, True])
@given(vectors=item_vectors())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_gensim_reads_every_bit_and_so_do_we_what_it_writes(
    tmp_path: Path, binary: bool, vectors: ItemVectors
) -> None:
    names = [str(i) for i in vectors.ids]
    vectors.save_word2vec_format(tmp_path / "ours", binary=binary)
    keyed = KeyedVectors.load_word2vec_format(str(tmp_path / "ours"), binary=binary)
    assert keyed.index_to_key == names
    assert keyed.vectors.tobytes() == vectors.vectors.tobytes()
    keyed.save_word2vec_format(str(tmp_path / "theirs"), binary=binary, sort_attr="none")
    back = ItemVectors.load_word2vec_format(
        tmp_path / "theirs", binary=binary, id_type=vectors.vocabulary.id_type
    )
    assert back.ids == vectors.ids
    assert back.vectors.tobytes() == vectors.vectors.tobytes()


@pytest.mark.parametrize("kind", ["string", "int64"])
def test_other_tools_read_the_parquet_file(tmp_path: Path, kind: str) -> None:
    vectors = make(kind=kind)
    vectors.save_parquet(tmp_path / "v.parquet")
    schema = pq.read_schema(tmp_path / "v.parquet")
    assert dict(zip(schema.names, schema.types, strict=True)) == {
        "item_id": pa.string() if kind == "string" else pa.int64(),
        "count": pa.int64(),
        "vector": pa.list_(pa.float32(), 3),
        "context_vector": pa.list_(pa.float32(), 3),
    }
    with duckdb.connect() as db:
        rows = db.execute(f"SELECT item_id, count, vector FROM '{tmp_path / 'v.parquet'}'").fetchall()
    assert [row[:2] for row in rows] == list(zip(vectors.ids, vectors.counts.tolist(), strict=True))
    np.testing.assert_array_equal(np.array([row[2] for row in rows], np.float32), vectors.vectors)


LISTS = [[1.5, 2.0], [0.1, -1.0]]


@pytest.mark.parametrize(
    "lists",
    [
        pa.array(LISTS, pa.list_(pa.float32())),
        pa.array(LISTS, pa.list_(pa.float64())),
        pa.array(LISTS, pa.large_list(pa.float64())),
        pa.array(LISTS, pa.list_(pa.float64(), 2)),
        pa.chunked_array([pa.array(LISTS[:1]), pa.array([[9.0, 9.0], LISTS[1]]).slice(1)]),
    ],
)
@pytest.mark.parametrize(
    "ids",
    [
        pa.array(["b", "a"]),
        pa.array(["b", "a"], pa.large_string()),
        pa.array(["b", "a"]).dictionary_encode(),
        pa.array([4, 3], pa.int32()),
        pa.array([4, 3], pa.uint64()),
    ],
)
def test_we_read_the_parquet_that_others_write(tmp_path: Path, lists: Any, ids: pa.Array) -> None:
    pq.write_table(pa.table({"vector": lists, "extra": [1, 2], "item_id": ids}), tmp_path / "v")
    back = ItemVectors.load_parquet(tmp_path / "v")
    assert back.ids == ids.to_pylist()
    assert back.vectors.tolist() == np.array(LISTS, np.float32).tolist()
    assert back.counts.tolist() == [0, 0]
    assert back.context_vectors is None


@pytest.mark.parametrize("kind", ["string", "int64"])
def test_numpy_alone_reads_the_npy_files(tmp_path: Path, kind: str) -> None:
    vectors = make(kind=kind)
    vectors.save_npy(tmp_path / "new" / "v")
    read = {path.stem: np.load(path, allow_pickle=False) for path in (tmp_path / "new" / "v").iterdir()}
    assert sorted(read) == ["context_vectors", "counts", "ids", "vectors"]
    assert read["ids"].tolist() == vectors.ids
    assert read["counts"].tolist() == vectors.counts.tolist()
    np.testing.assert_array_equal(read["vectors"], vectors.vectors)
    np.testing.assert_array_equal(read["context_vectors"], vectors.context_vectors)


def test_we_read_the_npy_files_that_others_write(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.array([3, 1], np.uint16))
    np.save(tmp_path / "vectors.npy", np.asfortranarray([[1.0, 0.1], [2.0, -1.0]]))
    back = ItemVectors.load_npy(tmp_path)
    assert back.ids == [3, 1]
    assert back.counts.tolist() == [0, 0]
    assert back.vectors.tolist() == np.array([[1, 0.1], [2, -1]], np.float32).tolist()


# The projector


def test_the_projector_gets_one_line_per_item_in_both_tables(tmp_path: Path) -> None:
    vectors = make(4)
    items = pa.table(
        {
            "item_id": ["hôtel-3", "hôtel-0", "elsewhere", "hôtel-1"],
            "market": ["Paris\tSud", "Lyon\r\nEst", "Rome", None],
            "price": [12.5, 80.0, 1.0, None],
        }
    )
    vectors.save_projector(tmp_path / "map", items=items, attributes=["price", "market"])
    lines = (tmp_path / "map" / "metadata.tsv").read_bytes().decode().split("\n")
    assert lines == [
        "item_id\tcount\tprice\tmarket",
        "hôtel-0\t4\t80.0\tLyon Est",
        "hôtel-1\t3\t\t",
        "hôtel-2\t2\t\t",
        "hôtel-3\t1\t12.5\tParis Sud",
        "",
    ]
    rows = np.loadtxt(tmp_path / "map" / "vectors.tsv", delimiter="\t", dtype=np.float64)
    assert rows.astype(np.float32).tobytes() == vectors.vectors.tobytes()


def test_the_projector_needs_no_item_table(tmp_path: Path) -> None:
    vectors = ItemVectors(Vocabulary(pa.array(["a\u2028b", "c\x85"]), np.ones(2)), np.eye(2))
    vectors.save_projector(tmp_path)
    assert (tmp_path / "metadata.tsv").read_text() == "item_id\tcount\na b\t1\nc \t1\n"


def test_one_attribute_needs_no_list(tmp_path: Path) -> None:
    vectors = make()
    items = pa.table({"item_id": vectors.ids, "market": ["Köln"] * len(vectors)})
    vectors.save_projector(tmp_path, items=items, attributes="market")
    assert (tmp_path / "metadata.tsv").read_text("utf-8").startswith("item_id\tcount\tmarket\n")


@pytest.mark.parametrize(
    ("items", "attributes", "words"),
    [
        (None, ["price"], "need an item table"),
        (
            pa.table({"item_id": ["x"], "market": ["m"]}),
            ["price"],
            "no column 'price'; it has item_id, market",
        ),
        (pa.table({"id": ["x"], "price": [1]}), ["price"], "no column 'item_id'"),
        (pa.table({"item_id": ["x"], "market": ["m"]}), "price", "no column 'price'; it has"),
        (
            pd.DataFrame({"item_id": ["x"]}),
            ["price"],
            "must be a pyarrow.Table, not DataFrame; .*from_pandas",
        ),
        (pd.DataFrame({"item_id": ["x"]}), [], "items must be a pyarrow.Table, not DataFrame"),
        (pa.table({"item_id": [1], "price": [1]}), ["price"], "item_id is int64 .* and string in the model"),
    ],
)
def test_attributes_that_are_not_there_are_named(
    tmp_path: Path, items: Any, attributes: str | list[str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        make().save_projector(tmp_path / "map", items=items, attributes=attributes)
    assert not list(tmp_path.rglob("*.tsv"))


# Where it is written


@pytest.mark.parametrize("format", FILES)
def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path, format: str) -> None:
    path = tmp_path / "new" / "folder" / "v"
    FILES[format](make(5), path)
    first = path.read_bytes()
    bad = ItemVectors(Vocabulary(pa.array(["a b"]), np.ones(1)), np.ones((1, 2)))
    if format != "parquet":
        with pytest.raises(DataError, match=r"white space.*save_parquet"):
            FILES[format](bad, path)
        assert path.read_bytes() == first
    FILES[format](make(4), path)
    assert len(path.read_bytes()) < len(first)
    assert {p.name for p in path.parent.iterdir()} <= {"v", "v.counts"}


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    vectors = make()
    vectors.save_parquet(tmp_path / "today")
    (tmp_path / "current").symlink_to(tmp_path / "today")
    make(3).save_parquet(tmp_path / "current")
    assert (tmp_path / "current").is_symlink()
    assert len(ItemVectors.load_parquet(tmp_path / "today")) == 3
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit((tmp_path / "pipe").read_bytes)
        vectors.save_word2vec_format(tmp_path / "pipe")
    vectors.save_word2vec_format(tmp_path / "file")
    assert read.result() == (tmp_path / "file").read_bytes()
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("door", [new_file, lambda path: new_files(path, ("x",))])
def test_what_breaks_off_leaves_nothing(tmp_path: Path, door: Callable[..., Any]) -> None:
    def break_off() -> None:
        with door(tmp_path / "v") as place:
            (place / "x" if place.is_dir() else place).write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("door", [new_file, lambda path: new_files(path, ("x",))])
def test_no_leftover_and_no_other_export_is_in_the_way(tmp_path: Path, door: Callable[..., Any]) -> None:
    folder = tmp_path / "v" if door is not new_file else tmp_path
    folder.mkdir(exist_ok=True)
    leftovers = {folder / f".{os.getpid()}.part", folder / f".v.{os.getpid()}.part"}
    for leftover in leftovers:
        leftover.mkdir()
    with door(tmp_path / "v") as one, door(tmp_path / "v") as other:
        for place, text in ((one, "one"), (other, "other")):
            (place / "x" if place.is_dir() else place).write_text(text)
    written = set(folder.iterdir()) - leftovers
    assert [path.read_text() for path in written] == ["one"]  # what ended last


@pytest.mark.parametrize("n_moved", range(4))
def test_an_npy_export_cut_off_between_its_files_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_moved: int
) -> None:
    make().save_npy(tmp_path)
    left, replace = iter(range(n_moved)), os.replace

    def killed(source: Path, target: Path) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        make().save_npy(tmp_path)
    assert len(list(tmp_path.iterdir())) == n_moved
    with pytest.raises(SourceError, match=r"ids\.npy: no such file"):
        ItemVectors.load_npy(tmp_path)


def test_an_older_npy_export_that_is_half_gone_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make().save_npy(tmp_path)
    unlink, gone = Path.unlink, []

    def killed(path: Path, missing_ok: bool = False) -> None:
        if gone:
            raise KeyboardInterrupt
        gone.append(path.name)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        make().save_npy(tmp_path)
    assert gone == ["ids.npy"]


def test_a_full_disk_is_told_and_nothing_half_written_stays(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    for save in FILES.values():
        with pytest.raises(RunError, match=r"cannot write .*full: .*No space left"):
            save(make(200), tmp_path / "full")
    assert {p.name for p in tmp_path.iterdir()} <= {"full"}


def test_an_export_imports_nothing_heavy(tmp_path: Path) -> None:
    make().save(tmp_path / "v")
    program = f"""
import sys
from item2vec import ItemVectors
vectors = ItemVectors.load({str(tmp_path / "v")!r})
vectors.save_parquet({str(tmp_path / "p")!r})
vectors.save_npy({str(tmp_path / "n")!r})
vectors.save_projector({str(tmp_path / "m")!r})
vectors.save_word2vec_format({str(tmp_path / "w")!r})
assert not {{"torch", "numba", "pandas", "sklearn"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("format", FILES)
def test_a_file_is_no_folder(tmp_path: Path, format: str) -> None:
    with pytest.raises(UsageError, match="is a folder; this format is one file"):
        FILES[format](make(), tmp_path)


@pytest.mark.parametrize("format", FOLDERS)
def test_a_folder_is_no_file(tmp_path: Path, format: str) -> None:
    (tmp_path / "v").write_text("mine")
    with pytest.raises(UsageError, match=r"is a file; this format is a folder of \w+\."):
        FOLDERS[format](make(), tmp_path / "v")
    assert (tmp_path / "v").read_text() == "mine"


def test_an_older_export_leaves_nothing_behind_and_other_files_stay(tmp_path: Path) -> None:
    vectors = make()
    (tmp_path / "notes").write_text("mine")
    vectors.save_npy(tmp_path)
    plain = ItemVectors(vectors.vocabulary, vectors.vectors)
    plain.save_npy(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"ids.npy", "counts.npy", "vectors.npy", "notes"}
    assert_same(plain, ItemVectors.load_npy(tmp_path))


@pytest.mark.parametrize("format", [*FILES, *FOLDERS])
def test_what_the_system_refuses_is_told_with_the_path(tmp_path: Path, format: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write .*file/v.*choose another place"):
        ({**FILES, **FOLDERS})[format](make(), tmp_path / "file" / "v")


def test_ids_that_numpy_cannot_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ending = ItemVectors(Vocabulary(pa.array(["a", "b\0"]), np.ones(2)), np.eye(2))
    with pytest.raises(DataError, match=r"'b\\x00' ends in a NUL.*use Parquet"):
        ending.save_npy(tmp_path / "v")
    monkeypatch.setattr(vectors_npy, "MAX_IDS_BYTES", 4 * 2 * 99)
    long = ItemVectors(Vocabulary(pa.array(["a", 100 * "b"]), np.ones(2)), np.eye(2))
    with pytest.raises(DataError, match="pads all 2 ids to the 100 characters of"):
        long.save_npy(tmp_path / "v")
    assert not list(tmp_path.rglob("*.npy"))


# What is read

GOOD = {"item_id": pa.array(["a", "b"]), "count": pa.array([2, 1]), "vector": pa.array([[1.0], [2.0]])}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"vector": None}, "no column vector, only item_id, count"),
        ({"item_id": None}, "no column item_id"),
        ({"item_id": pa.array(["a", "a"])}, "occurs twice"),
        ({"item_id": pa.array(["a", None])}, "null"),
        ({"item_id": pa.array([1.0, 2.0])}, "item ids of type double"),
        ({"item_id": pa.array([1, 2**64 - 1], pa.uint64())}, "as Parquet"),
        ({"count": pa.array([1.0, 2.0])}, "counts of type double"),
        ({"count": pa.array([1, None])}, "1 nulls"),
        ({"vector": pa.array([1.0, 2.0])}, "type double; it must be lists"),
        ({"vector": pa.array([["x"], ["y"]])}, "must be lists of float32"),
        ({"vector": pa.array([[1.0], [2.0, 3.0]])}, r"lengths \['1', '2'\]"),
        ({"vector": pa.array([[1.0], None])}, "none null or empty"),
        ({"vector": pa.array([[1.0], None], pa.list_(pa.float64(), 1))}, "none null or empty"),
        ({"vector": pa.array([[], []], pa.list_(pa.float32()))}, "none null or empty"),
        ({"vector": pa.array([[1.0], [None]])}, "nulls among the numbers"),
        ({"context_vector": pa.array([[1.0], [2.0, 3.0]])}, "column context_vector"),
        ({"vector": pa.array([], pa.list_(pa.float32())), "item_id": pa.array([], pa.string()),
          "count": pa.array([], pa.int64())}, "lengths"),
    ],
)  # fmt: skip
def test_bad_parquet_is_refused_with_its_column(tmp_path: Path, columns: dict, words: str) -> None:
    table = {name: values for name, values in (GOOD | columns).items() if values is not None}
    pq.write_table(pa.table(table), tmp_path / "v")
    with pytest.raises(SourceError, match=words):
        ItemVectors.load_parquet(tmp_path / "v")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e39])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    pq.write_table(pa.table(GOOD | {"vector": pa.array([[1.0], [value]])}), tmp_path / "v")
    with pytest.raises(DataError, match=r"not finite.*'b'"):
        ItemVectors.load_parquet(tmp_path / "v")
    np.save(tmp_path / "ids.npy", np.array(["a", "b"]))
    np.save(tmp_path / "vectors.npy", np.array([[1.0], [value]]))
    with pytest.raises(DataError, match=r"not finite.*'b'"):
        ItemVectors.load_npy(tmp_path)


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("ids", None, "ids.npy: no such file"),
        ("vectors", None, "vectors.npy: no such file"),
        ("ids", np.array([b"a", b"b"]), "holds bytes"),
        ("ids", np.array(["a", "a"]), "once"),
        ("ids", np.array(["a", "b", "c"]), "2 rows, ids.npy 3"),
        ("ids", np.array([1.0, 2.0]), "float64 of shape"),
        ("ids", np.array([1, 2**64 - 1], np.uint64), "cannot be used"),
        ("vectors", np.ones(2), r"shape \(2,\)"),
        ("vectors", np.ones((3, 2)), "3 rows, ids.npy 2"),
        ("vectors", np.array([["x"], ["y"]]), "<U1"),
        ("counts", np.ones(2), "float64"),
        ("context_vectors", np.ones((2, 9)), "must agree"),
    ],
)
def test_bad_npy_is_refused_with_its_file(tmp_path: Path, name: str, array: Any, words: str) -> None:
    ItemVectors(Vocabulary(pa.array(["a", "b"]), np.ones(2)), np.eye(2), np.eye(2)).save_npy(tmp_path)
    (tmp_path / f"{name}.npy").unlink()
    if array is not None:
        np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(DataError, match=words):
        ItemVectors.load_npy(tmp_path)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "sprung"),)

    make(2).save_npy(tmp_path)
    np.save(tmp_path / "ids.npy", np.array([Trap(), 1], object), allow_pickle=True)
    with pytest.raises(SourceError, match=r"ids\.npy as \.npy"):
        ItemVectors.load_npy(tmp_path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("format", ["parquet", "npy"])
@given(body=st.binary(max_size=120), cut=st.integers(0, 10**6), at=st.integers(0, 10**6))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_never_escape_as_a_librarys_error(
    tmp_path: Path, format: str, body: bytes, cut: int, at: int
) -> None:
    SAVE[format](make(), tmp_path / "v")
    file = tmp_path / "v" if format == "parquet" else tmp_path / "v" / "vectors.npy"
    whole = file.read_bytes()
    at %= len(whole)
    file.write_bytes((whole[:at] + body + whole[at + len(body) :])[: cut % (2 * len(whole))])
    try:
        LOAD[format](tmp_path / "v", "string")
    except DataError:
        pass
