"""Sessions → the arrays that engines train on, against counting by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.embeddings import corpus as corpus_module
from item2vec.embeddings.corpus import build_corpus, weighted_counts
from item2vec.sessions import Sessions

lists = st.lists(st.lists(st.integers(0, 12), min_size=2, max_size=8), min_size=1, max_size=12)


@given(lists, st.integers(1, 3), st.data())
@settings(max_examples=60, deadline=None)
def test_the_corpus_is_what_counting_by_hand_gives(sequences, min_count, data) -> None:
    weights = data.draw(
        st.lists(st.sampled_from([0.5, 1, 5]), min_size=len(sequences), max_size=len(sequences))
    )
    counts = Counter(item for session in sequences for item in session)
    order = sorted((i for i in counts if counts[i] >= min_count), key=lambda i: (-counts[i], i))
    kept = [[order.index(item) for item in session if item in order] for session in sequences]
    if not any(len(session) > 1 for session in kept):
        return
    with pytest.MonkeyPatch.context() as patch:  # many blocks, cut anywhere
        patch.setattr(corpus_module, "_CLICKS_AT_ONCE", data.draw(st.integers(1, 40)))
        patch.setattr(corpus_module, "_SESSIONS_AT_ONCE", data.draw(st.integers(1, 15)))
        vocabulary, corpus = build_corpus(Sessions.from_lists(sequences, weights=weights), min_count, 0.0)
        visits = weighted_counts(corpus)
    assert vocabulary.ids.to_pylist() == order
    assert vocabulary.counts.tolist() == [counts[item] for item in order]
    assert [
        corpus.items[a:b].tolist() for a, b in zip(corpus.offsets, corpus.offsets[1:], strict=False)
    ] == kept
    expected = np.zeros(len(order))
    for session, weight in zip(kept, weights, strict=True):
        np.add.at(expected, session, weight)
    np.testing.assert_allclose(visits, expected)


def test_arrays_that_nobody_may_write_train_on_the_same_code() -> None:
    sessions = Sessions.from_lists([["a", "b"], ["b", "c"]], booked=[["a"], []])
    offsets, booked_offsets = sessions.offsets.copy(), sessions.booked_offsets.copy()
    for array in (offsets, booked_offsets):
        array.setflags(write=False)
    _, corpus = build_corpus(replace(sessions, offsets=offsets, booked_offsets=booked_offsets), 1, 0.0)
    arrays = [value for value in corpus._asdict().values() if isinstance(value, np.ndarray)]
    assert all(array.flags.writeable and array.flags.c_contiguous for array in arrays)
