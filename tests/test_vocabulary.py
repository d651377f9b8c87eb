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
