"""The map between item ids and item numbers."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from item2vec.errors import DataError, EmptyDataError, UnknownItemError
from item2vec.vocabulary import Vocabulary


@given(st.dictionaries(st.text(min_size=1, max_size=6), st.integers(1, 9), min_size=1, max_size=40))
def test_orders_by_count_then_id_and_maps_both_ways(counts: dict[str, int]) -> None:
    vocabulary = Vocabulary.from_counts(pa.array(counts.keys(), pa.string()), np.array(list(counts.values())))
    # Arrow orders strings by their UTF-8 bytes, which is Python's order by code point
    expected = sorted(counts, key=lambda item: (-counts[item], item))
    assert vocabulary.ids.to_pylist() == expected
    assert vocabulary.counts.tolist() == [counts[item] for item in expected]
    nums = vocabulary.nums(expected)
    assert nums.dtype == np.int32
    assert nums.tolist() == list(range(len(expected)))
    assert vocabulary.item_ids(nums[::-1]) == expected[::-1]
    assert [vocabulary.num(item) for item in expected] == nums.tolist()
    assert vocabulary.nums(pa.array(expected, pa.string())).tolist() == nums.tolist()
    assert Vocabulary.from_table(vocabulary.to_table()) == vocabulary


def test_min_count_drops_and_says_when_nothing_is_left() -> None:
    ids, counts = pa.array([10, 20, 30]), np.array([1, 5, 2])
    assert Vocabulary.from_counts(ids, counts, min_count=2).ids.to_pylist() == [20, 30]
    with pytest.raises(EmptyDataError, match="lower min_count"):
        Vocabulary.from_counts(ids, counts, min_count=6)


@pytest.mark.parametrize("unknown", ["z", 7, None, ("a",), ["a"]])
def test_unknown_items(unknown: object) -> None:
    vocabulary = Vocabulary(pa.array(["a", "b"]), np.array([2, 1]))
    with pytest.raises(UnknownItemError, match="unknown item"):
        vocabulary.num(unknown)  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        vocabulary.num(unknown)  # type: ignore[arg-type]


def test_unknown_items_in_bulk_are_minus_one() -> None:
    vocabulary = Vocabulary(pa.array([5, 3]), np.array([2, 1]))
    assert vocabulary.nums([3, 99, 5]).tolist() == [1, -1, 0]
    assert vocabulary.nums(pa.chunked_array([[3, 99], [5]])).tolist() == [1, -1, 0]
    assert vocabulary.nums([]).tolist() == []
    assert 3 in vocabulary
    assert "3" not in vocabulary


@pytest.mark.parametrize("other", ["1", True, 1.0, np.float64(1), np.True_, None, [1], b"1"])
def test_python_values_of_another_type_are_unknown(other: object) -> None:
    vocabulary = Vocabulary(pa.array([5, 1]), np.array([2, 1]))
    assert other not in vocabulary
    assert vocabulary.nums([1, other, 5]).tolist() == [1, -1, 0]  # type: ignore[list-item]
    with pytest.raises(UnknownItemError, match="int64"):
        vocabulary.num(other)  # type: ignore[arg-type]
    named = Vocabulary(pa.array(["x", "1"]), np.array([2, 1]))
    known = 1 if other == "1" else -1
    assert (other in named) == (known == 1)
    assert named.nums(["x", other]).tolist() == [0, known]  # type: ignore[list-item]


def test_numpys_integers_and_strings_are_ids() -> None:
    numbered = Vocabulary(pa.array([5, 1]), np.array([2, 1]))
    assert numbered.nums(np.array([1, 5, 9], np.int32)).tolist() == [1, 0, -1]
    assert numbered.num(np.uint8(1)) == 1
    assert np.int64(5) in numbered
    named = Vocabulary(pa.array(["x", "1"]), np.array([2, 1]))
    assert named.nums(np.array(["1", "x", "y"])).tolist() == [1, 0, -1]
    assert numbered.nums(iter([1, 5])).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("ids", "looked_up", "kind"),
    [
        (["1", "2"], pa.array([1, 2]), "int64"),
        (["1", "2"], pa.array([1, 2], pa.int32()), "int32"),
        (["1", "2"], pa.array([b"1"]), "binary"),
        (["1", "2"], pa.chunked_array([pa.array([1, 2])]), "int64"),
        ([1, 2], pa.array(["1", "x"]), "string"),
        ([1, 2], pa.array(["1"]).dictionary_encode(), "string"),
        ([1, 2], pa.array([1.0, 2.5]), "double"),
        ([1, 2], pa.array([True]), "bool"),
        ([1, 2], pa.array([2**63], pa.uint64()), "uint64"),
    ],
)
def test_an_arrow_array_of_another_type_is_refused(ids: list, looked_up: pa.Array, kind: str) -> None:
    vocabulary = Vocabulary(pa.array(ids), np.array([2, 1]))
    with pytest.raises(DataError, match=rf"{kind}, those of the vocabulary {vocabulary.id_type}"):
        vocabulary.nums(looked_up)


@pytest.mark.parametrize(
    ("ids", "looked_up"),
    [
        (["a", "b"], pa.array(["b", None, "z", "a"], pa.large_string())),
        (["a", "b"], pa.array(["b", None, "z", "a"]).dictionary_encode()),
        ([1, 2], pa.array([2, None, 3, 1], pa.int8())),
        ([1, 2], pa.array([2, None, 3, 1], pa.uint32())),
        ([1, 2], pa.chunked_array([pa.array([2, None, 3], pa.int32()), pa.array([1], pa.int32())])),
    ],
)
def test_what_fits_into_the_id_type_is_looked_up(ids: list, looked_up: pa.Array) -> None:
    vocabulary = Vocabulary(pa.array(ids), np.array([2, 1]))
    assert vocabulary.nums(looked_up).tolist() == [1, -1, -1, 0]
    assert vocabulary.nums(pa.nulls(2)).tolist() == [-1, -1]


@pytest.mark.parametrize("count", [pa.array([1], pa.int32()), pa.array([1.0]), pa.array([None], pa.int64())])
def test_a_table_with_other_counts_is_refused(count: pa.Array) -> None:
    with pytest.raises(DataError, match=r"they must be int64|missing"):
        Vocabulary.from_table(pa.table({"item_id": ["a"], "count": count}))


@pytest.mark.parametrize(
    ("ids", "counts", "message"),
    [
        (pa.array(["a", "a"]), [1, 1], "once"),
        (pa.array(["a", None]), [1, 1], "no null"),
        (pa.array([1.5, 2.5]), [1, 1], "double"),
        (pa.array(["a", "b"]), [1], "2 item ids but 1 counts"),
    ],
)
def test_refuses_what_is_not_a_vocabulary(ids: pa.Array, counts: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Vocabulary(ids, np.array(counts))


def test_opening_a_vocabulary_imports_no_pandas() -> None:
    import subprocess
    import sys

    program = """
import sys
import numpy as np, pyarrow as pa
ids = pa.StringArray.from_buffers(2, pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"ab"))
from item2vec.vocabulary import Vocabulary
v = Vocabulary.from_table(Vocabulary(ids, np.array([2, 1])).to_table())
v.nums(ids), v.nums(["a"]), v.item_ids([1]), v.num("a")
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_large_strings_become_strings() -> None:
    vocabulary = Vocabulary(pa.chunked_array([pa.array(["a", "b"], pa.large_string())]), np.array([1, 1]))
    assert vocabulary.id_type == "string"
    assert vocabulary.num("b") == 1
