"""ItemVectors: gensim's answers to gensim's questions, and files that come back as they were."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gensim.models import KeyedVectors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from item2vec.embeddings import ItemVectors
from item2vec.errors import (
    CorruptArtifactError,
    DataError,
    RunError,
    SourceError,
    UnknownItemError,
    UsageError,
)
from item2vec.vocabulary import Vocabulary


def make(n: int = 40, d: int = 7, kind: str = "string", seed: int = 0) -> ItemVectors:
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(n) - n // 2
    ids = pa.array(numbers.tolist()) if kind == "int64" else pa.array([f"hôtel-{k}" for k in numbers])
    counts = np.sort(rng.integers(1, 1000, n))[::-1]
    return ItemVectors(Vocabulary(ids, counts), rng.normal(size=(n, d)), rng.normal(size=(n, d)))


def as_gensim(vectors: ItemVectors) -> KeyedVectors:
    keyed = KeyedVectors(vectors.vector_size)
    keyed.add_vectors([str(i) for i in vectors.ids], vectors.vectors)
    return keyed


def assert_same_answer(ours: list, theirs: list) -> None:
    assert [i for i, _ in ours] == [i for i, _ in theirs]
    np.testing.assert_allclose([s for _, s in ours], [s for _, s in theirs], rtol=1e-5)


@pytest.fixture(scope="module")
def vectors() -> ItemVectors:
    return make()


# Questions


def test_it_answers_like_gensim(vectors: ItemVectors) -> None:
    keyed = as_gensim(vectors)
    a, b, c = vectors.ids[3], vectors.ids[7], vectors.ids[20]
    assert_same_answer(vectors.most_similar(a), keyed.most_similar(a))
    assert_same_answer(vectors.most_similar([a, b], [c], topn=40), keyed.most_similar([a, b], [c], topn=40))
    assert_same_answer(vectors.most_similar(positive=[(a, 0.5), b]), keyed.most_similar([(a, 0.5), b]))
    assert_same_answer(
        vectors.most_similar([vectors[a], c], restrict_vocab=9),
        keyed.most_similar([keyed[a], c], restrict_vocab=9),
    )
    assert_same_answer(vectors.similar_by_key(b, topn=3), keyed.similar_by_key(b, topn=3))
    assert_same_answer(vectors.similar_by_vector(vectors[a]), keyed.similar_by_vector(keyed[a]))
    assert vectors.similarity(a, c) == pytest.approx(keyed.similarity(a, c), rel=1e-5)
    np.testing.assert_allclose(
        vectors.get_mean_vector([a, c], [1.0, -2.0]), keyed.get_mean_vector([a, c], [1.0, -2.0]), rtol=1e-5
    )
    np.testing.assert_allclose(vectors.get_vector(a, norm=True), keyed.get_vector(a, norm=True), rtol=1e-6)
    assert vectors.index_to_key == keyed.index_to_key == vectors.ids
    assert vectors.key_to_index == keyed.key_to_index


def test_keys_are_looked_up_by_their_type() -> None:
    numbered = make(kind="int64")
    first = numbered.ids[0]
    assert isinstance(first, int)
    assert first in numbered
    assert str(first) not in numbered
    assert numbered[first].shape == (7,)
    assert numbered[numbered.ids[:3]].shape == (3, 7)
    assert numbered.most_similar(first)[0][0] != first
    assert numbered.most_similar(np.int64(first)) == numbered.most_similar([first])
    with pytest.raises(UnknownItemError, match="int64"):
        numbered[str(first)]
    with pytest.raises(KeyError):
        numbered["nowhere"]


def test_a_truth_value_or_a_float_is_no_id() -> None:
    numbered = ItemVectors(Vocabulary(pa.array([1, 0, 2]), np.ones(3)), np.eye(3))
    for key in (True, 1.0, np.float64(1), np.True_):
        assert key not in numbered
        for ask in (numbered.get_vector, numbered.__getitem__, numbered.most_similar):
            with pytest.raises(UnknownItemError, match=f"unknown item {re.escape(repr(key))}"):
                ask(key)
        with pytest.raises(UnknownItemError):
            numbered[[1, key]]
        with pytest.raises(UnknownItemError):
            numbered.most_similar([1, key])
    assert numbered[[1, np.int32(2)]].tolist() == [[1, 0, 0], [0, 0, 1]]


def test_an_id_and_a_number_are_a_weighted_key_where_ids_are_strings(vectors: ItemVectors) -> None:
    keyed = as_gensim(vectors)
    a, b = vectors.ids[3], vectors.ids[7]
    for weight in (2, 0.5, -1, np.int64(2), np.float32(0.5)):
        assert_same_answer(vectors.most_similar((a, weight)), keyed.most_similar([(a, weight)]))
        assert_same_answer(vectors.most_similar([(a, weight), b]), keyed.most_similar([(a, weight), b]))
        assert_same_answer(
            vectors.most_similar((vectors[a], weight), b), keyed.most_similar([(keyed[a], weight)], [b])
        )
    assert_same_answer(vectors.most_similar((a, b)), keyed.most_similar([a, b]))


def test_a_bare_tuple_of_two_int64_ids_is_two_ids() -> None:
    numbered = make(kind="int64")
    a, b = numbered.ids[3], numbered.ids[7]
    assert numbered.most_similar((a, b)) == numbered.most_similar([a, b])
    assert numbered.most_similar((a, float(b))) == numbered.most_similar([(a, b)])
    assert numbered.most_similar((a, b)) != numbered.most_similar([(a, b)])
    with pytest.raises(UnknownItemError, match="1000"):
        numbered.most_similar((a, 1000))


@pytest.mark.parametrize("weight", ["2", None, True, float("nan"), float("inf")])
def test_a_weight_is_a_finite_number(vectors: ItemVectors, weight: object) -> None:
    with pytest.raises(UsageError, match="no weighted key"):
        vectors.most_similar([(vectors.ids[0], weight)])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="no weighted key"):
        vectors.most_similar([(vectors.ids[0], 1.0, 2.0)])  # type: ignore[list-item]


def test_counts_and_sizes(vectors: ItemVectors) -> None:
    assert (len(vectors), vectors.vector_size) == (40, 7)
    assert vectors.counts.dtype == np.int64
    assert repr(vectors) == "ItemVectors(40 items × 7, with context vectors)"


@pytest.mark.parametrize("topn", [1, 39, 1000])
def test_topn_never_contains_the_query(vectors: ItemVectors, topn: int) -> None:
    answer = vectors.most_similar(vectors.ids[0], topn=topn)
    assert len(answer) == min(topn, 39)
    assert vectors.ids[0] not in [i for i, _ in answer]


def test_bad_questions(vectors: ItemVectors) -> None:
    with pytest.raises(UnknownItemError, match="nowhere"):
        vectors.most_similar(["nowhere"])
    with pytest.raises(UsageError, match="at least one"):
        vectors.most_similar()
    with pytest.raises(UsageError, match="topn is 0"):
        vectors.most_similar(vectors.ids[0], topn=0)
    with pytest.raises(UsageError, match="7 finite numbers"):
        vectors.similar_by_vector(np.full(7, np.nan))
    with pytest.raises(UsageError, match="7 finite numbers"):
        vectors.similar_by_vector(np.zeros(8))
    with pytest.raises(UsageError, match="one weight per key"):
        vectors.get_mean_vector(vectors.ids[:2], [1.0])
    with pytest.raises(UsageError, match="no mean of nothing"):
        vectors.get_mean_vector(["nowhere"])


def test_a_zero_vector_is_similar_to_nothing() -> None:
    vectors = ItemVectors(Vocabulary(pa.array(["a", "b"]), np.ones(2)), np.array([[0.0, 0.0], [1.0, 0.0]]))
    assert vectors.similarity("a", "b") == 0
    assert vectors.most_similar("a") == [("b", 0.0)]


def test_the_container_checks_itself() -> None:
    vocabulary = Vocabulary(pa.array(["a", "b"]), np.ones(2))
    with pytest.raises(DataError, match="2 items need as many rows"):
        ItemVectors(vocabulary, np.ones((3, 2)))
    with pytest.raises(DataError, match="must agree"):
        ItemVectors(vocabulary, np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(DataError, match=r"not finite.*'b'"):
        ItemVectors(vocabulary, np.array([[1.0], [np.inf]]))


# Folders


@pytest.mark.parametrize("kind", ["string", "int64"])
@pytest.mark.parametrize("context", [True, False])
def test_a_folder_comes_back_as_it_was(tmp_path: Path, kind: str, context: bool) -> None:
    vectors = make(kind=kind)
    if not context:
        vectors = ItemVectors(vectors.vocabulary, vectors.vectors)
    vectors.save(tmp_path / "v")
    assert sorted(p.name for p in (tmp_path / "v").iterdir()) == [
        "config.json",
        "items.parquet",
        "vectors.safetensors",
    ]
    back = ItemVectors.load(tmp_path / "v")
    assert back.vocabulary == vectors.vocabulary
    assert back.vectors.tobytes() == vectors.vectors.tobytes()
    if context:
        assert back.context_vectors is not None
        assert back.context_vectors.tobytes() == vectors.context_vectors.tobytes()
    else:
        assert back.context_vectors is None
    first = {p.name: p.read_bytes() for p in (tmp_path / "v").iterdir()}
    vectors.save(tmp_path / "again")
    assert first == {p.name: p.read_bytes() for p in (tmp_path / "again").iterdir()}


def spoil_missing(folder: Path, name: str) -> None:
    (folder / name).unlink()


def spoil_cut(folder: Path, name: str) -> None:
    body = (folder / name).read_bytes()
    (folder / name).write_bytes(body[: len(body) // 2])


def spoil_garbage(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\x00garbage" * 20)


@pytest.mark.parametrize("name", ["config.json", "items.parquet", "vectors.safetensors"])
@pytest.mark.parametrize("spoil", [spoil_missing, spoil_cut, spoil_garbage])
def test_a_damaged_folder_is_refused(vectors: ItemVectors, tmp_path: Path, name: str, spoil) -> None:  # type: ignore[no-untyped-def]
    vectors.save(tmp_path)
    spoil(tmp_path, name)
    with pytest.raises(CorruptArtifactError, match="train again"):
        ItemVectors.load(tmp_path)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (pa.array([2, 1], pa.int32()), "int32"),
        (pa.array([2, None]), "missing"),
        (pa.array(["2", "1"]), "string"),
    ],
)
def test_counts_of_another_type_are_refused(tmp_path: Path, counts: pa.Array, words: str) -> None:
    ItemVectors(Vocabulary(pa.array(["a", "b"]), np.array([2, 1])), np.eye(2)).save(tmp_path)
    pq.write_table(pa.table({"item_id": ["a", "b"], "count": counts}), tmp_path / "items.parquet")
    with pytest.raises(CorruptArtifactError, match=words):
        ItemVectors.load(tmp_path)


@pytest.mark.parametrize("damaged", [False, True])
def test_no_file_stays_open(
    vectors: ItemVectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    opened = []

    class Watched(pq.ParquetFile):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)
            opened.append(self)

        def read(self, *arguments: object, **options: object) -> pa.Table:
            if damaged:
                raise pa.ArrowInvalid("a page does not match its checksum")
            return super().read(*arguments, **options)

    vectors.save(tmp_path)
    monkeypatch.setattr(pq, "ParquetFile", Watched)
    with pytest.raises(CorruptArtifactError) if damaged else nullcontext():
        ItemVectors.load(tmp_path)
    assert [file.closed for file in opened] == [True]


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    make(40).save(tmp_path / "a")
    make(41).save(tmp_path / "b")
    for name in ("config.json", "items.parquet", "vectors.safetensors"):
        shutil.copytree(tmp_path / "a", tmp_path / name)
        shutil.copy(tmp_path / "b" / name, tmp_path / name / name)
        with pytest.raises(CorruptArtifactError):
            ItemVectors.load(tmp_path / name)
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    (tmp_path / "a" / "config.json").write_text(json.dumps(config | {"version": 99}))
    with pytest.raises(CorruptArtifactError, match="version 2"):
        ItemVectors.load(tmp_path / "a")


# word2vec text and binary


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("kind", ["string", "int64"])
def test_gensim_reads_what_we_write(tmp_path: Path, binary: bool, kind: str) -> None:
    vectors = make(kind=kind)
    vectors.save_word2vec_format(tmp_path / "w2v", fvocab=tmp_path / "counts", binary=binary)
    keyed = KeyedVectors.load_word2vec_format(tmp_path / "w2v", fvocab=tmp_path / "counts", binary=binary)
    assert keyed.index_to_key == [str(i) for i in vectors.ids]
    assert keyed.vectors.tobytes() == vectors.vectors.tobytes()
    assert [keyed.get_vecattr(str(i), "count") for i in vectors.ids] == vectors.counts.tolist()
    back = ItemVectors.load_word2vec_format(
        tmp_path / "w2v", fvocab=tmp_path / "counts", binary=binary, id_type=kind
    )
    assert back.vocabulary == vectors.vocabulary
    assert back.vectors.tobytes() == vectors.vectors.tobytes()
    assert not ItemVectors.load_word2vec_format(tmp_path / "w2v", binary=binary).counts.any()


@pytest.mark.parametrize("binary", [False, True])
def test_we_read_what_gensim_writes(vectors: ItemVectors, tmp_path: Path, binary: bool) -> None:
    keyed = as_gensim(vectors)
    keyed.save_word2vec_format(tmp_path / "w2v", binary=binary, sort_attr="none")
    back = ItemVectors.load_word2vec_format(tmp_path / "w2v", binary=binary)
    assert back.ids == keyed.index_to_key
    np.testing.assert_array_equal(back.vectors, keyed.vectors)


def test_binary_with_a_newline_after_each_vector(tmp_path: Path) -> None:
    rows = np.arange(4, dtype="<f4").reshape(2, 2)  # as word2vec.c writes it
    body = b"2 2\n" + b"".join(
        k + b" " + r.tobytes() + b"\n" for k, r in zip((b"a", b"b"), rows, strict=True)
    )
    (tmp_path / "w2v").write_bytes(body)
    back = ItemVectors.load_word2vec_format(tmp_path / "w2v", binary=True)
    assert back.ids == ["a", "b"]
    np.testing.assert_array_equal(back.vectors, rows)


@pytest.mark.parametrize("bad", ["two words", "line\nbreak", "", "tab\tbed", "no\u00a0break"])
@pytest.mark.parametrize("binary", [False, True])
def test_ids_the_format_cannot_hold_are_refused(tmp_path: Path, bad: str, binary: bool) -> None:
    vectors = ItemVectors(Vocabulary(pa.array(["fine", bad]), np.ones(2)), np.ones((2, 2)))
    with pytest.raises(DataError, match="white space"):
        vectors.save_word2vec_format(tmp_path / "w2v", binary=binary)
    assert not (tmp_path / "w2v").exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "header"),
        (b"hello world\n", "header"),
        (b"2\na 1\n", "header"),
        (b"-1 2\n", "header"),
        (b"99999999999 300\na 1\n", "header"),
        (b"2 2\na 1 2\n", "line 3"),
        (b"2 2\na 1 2\nb 1\n", "line 3"),
        (b"2 2\na 1 x\nb 1 2\n", "line 2"),
        (b"2 2\na 1 2\na 1 2\n", "twice"),
    ],
)
def test_bad_text_is_refused_with_its_place(tmp_path: Path, body: bytes, words: str) -> None:
    (tmp_path / "w2v").write_bytes(body)
    with pytest.raises(SourceError, match=words):
        ItemVectors.load_word2vec_format(tmp_path / "w2v")


def test_other_bad_files_are_refused(vectors: ItemVectors, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot read"):
        ItemVectors.load_word2vec_format(tmp_path / "missing")
    vectors.save_word2vec_format(tmp_path / "w2v", binary=True)
    body = (tmp_path / "w2v").read_bytes()
    (tmp_path / "cut").write_bytes(body[:-3])
    with pytest.raises(SourceError, match="item 40 of 40"):
        ItemVectors.load_word2vec_format(tmp_path / "cut", binary=True)
    with pytest.raises(SourceError, match="not int64"):
        ItemVectors.load_word2vec_format(tmp_path / "w2v", binary=True, id_type="int64")
    with pytest.raises(UsageError, match="one of string, int64"):
        ItemVectors.load_word2vec_format(tmp_path / "w2v", binary=True, id_type="uuid")
    (tmp_path / "counts").write_text("a few\n")
    with pytest.raises(SourceError, match="id count"):
        ItemVectors.load_word2vec_format(tmp_path / "w2v", fvocab=tmp_path / "counts", binary=True)


@given(body=st.binary(max_size=200), binary=st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_never_escape_as_a_librarys_error(tmp_path: Path, body: bytes, binary: bool) -> None:
    (tmp_path / "w2v").write_bytes(b"2 3\n" + body)
    try:
        ItemVectors.load_word2vec_format(tmp_path / "w2v", binary=binary)
    except (SourceError, DataError):
        pass


def test_vectors_that_cannot_be_written_are_a_failed_run_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "vectors.safetensors").mkdir()
    with pytest.raises(RunError, match=r"cannot write .*vectors\.safetensors"):
        ItemVectors(Vocabulary(pa.array(["a", "b"]), np.ones(2)), np.eye(2)).save(tmp_path)


def test_a_folder_s_place_that_is_none_is_told_like_any_other(vectors: ItemVectors, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match=r"file is a file; this format is a folder of vectors\.safetensors"):
        vectors.save(tmp_path / "file")
    with pytest.raises(RunError, match=r"cannot write .*file/v: .*/file is a file, not a folder; choose"):
        vectors.save(tmp_path / "file" / "v")
    with pytest.raises(RunError, match=r"cannot write /proc/x: No such file.*; choose another place"):
        vectors.save("/proc/x")
    assert (tmp_path / "file").read_text() == "mine"


def test_an_id_too_long_to_be_read_again_is_not_written(tmp_path: Path) -> None:
    def named(name: str) -> ItemVectors:
        return ItemVectors(Vocabulary(pa.array(["a", name]), np.ones(2)), np.eye(2))

    path = tmp_path / "w2v"
    with pytest.raises(DataError, match=r"'éé.*has 65,536 bytes.*set binary=False"):
        named("é" * 32768).save_word2vec_format(path, binary=True)
    assert not path.exists()
    for length, binary in ((65535, True), (70000, False)):
        named("x" * length).save_word2vec_format(path, binary=binary)
        assert ItemVectors.load_word2vec_format(path, binary=binary).ids == ["a", "x" * length]


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("n", [1, 3, 40, 500])
def test_the_other_form_is_guessed(tmp_path: Path, n: int, binary: bool) -> None:
    make(n, 5).save_word2vec_format(tmp_path / "w2v", binary=binary)
    with pytest.raises(
        SourceError, match=rf"is word2vec {'binary' if binary else 'text'}.*set binary={binary}"
    ):
        ItemVectors.load_word2vec_format(tmp_path / "w2v", binary=not binary)


def test_binary_that_goes_on_after_its_items_is_refused(tmp_path: Path) -> None:
    make().save_word2vec_format(tmp_path / "w2v", binary=True)
    (tmp_path / "more").write_bytes((tmp_path / "w2v").read_bytes() + b"x 1234")
    with pytest.raises(SourceError, match="goes on after its 40 items"):
        ItemVectors.load_word2vec_format(tmp_path / "more", binary=True)
