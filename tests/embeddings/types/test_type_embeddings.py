"""User types and listing types in one space: what is learned, what is pushed apart, what is too rare."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.embeddings.types import TypeEmbeddings, TypeMap, rejections_of
from item2vec.embeddings.types.back_off import BackOff, back_off
from item2vec.embeddings.types.type_map import ANY, ancestors, coded
from item2vec.errors import CorruptArtifactError, EmptyDataError, SourceError, UsageError
from item2vec.sessions.container import Sessions

KINDS = 6
RULES = TypeMap.from_document(
    {
        "listing_type": [{"code": "k", "column": "kind", "edges": list(range(1, KINDS))}],
        "user_type": [{"code": "g", "column": "group", "own": True}],
    }
)
SMALL = {"type_map": RULES, "vector_size": 8, "epochs": 8, "workers": 1, "window": 2}


def world(n_users: int = 600, n_stays: int = 4, seed: int = 1) -> tuple[Sessions, pa.Table]:
    """Guests of group g book listings of kind g most of the time."""
    rng = np.random.default_rng(seed)
    kinds = np.arange(60) % KINDS
    group = rng.integers(KINDS, size=n_users)
    own = rng.random((n_users, n_stays)) < 0.85
    wanted = np.where(own, group[:, None], rng.integers(KINDS, size=(n_users, n_stays)))
    tokens = wanted + KINDS * rng.integers(10, size=wanted.shape)
    ids = pa.array([f"i{k:02d}" for k in range(60)])
    users = pa.array([f"u{k:04d}" for k in range(n_users)])
    bookings = Sessions(
        item_ids=ids,
        tokens=tokens.ravel().astype(np.int32),
        offsets=np.arange(0, n_users * n_stays + 1, n_stays),
        booked=np.zeros(0, np.int32),
        booked_offsets=np.zeros(n_users + 1, np.int64),
        weights=np.ones(n_users, np.float32),
        session_ids=np.arange(n_users),
        user_ids=users,
        ts_us=np.tile(np.arange(n_stays), n_users),
        markets=np.full(60, -1, np.int32),
        items=pa.table({"item_id": ids, "kind": kinds}),
        kind="booking",
    )
    return bookings, pa.table({"user_id": users, "group": [f"{g}" if g else "zero" for g in group.tolist()]})


def group_name(kind: int) -> str:
    return f"g{kind}" if kind else "gzero"


def similarities(types: TypeEmbeddings, reading: Literal["next", "similar"] = "next") -> np.ndarray:
    """Cosine of every group (row) and every kind of listing (column)."""
    kinds = [f"k{1 + kind}" for kind in range(KINDS)]
    return np.stack([types.similarity(group_name(kind), kinds, reading=reading) for kind in range(KINDS)])


@pytest.fixture(scope="module")
def fitted() -> TypeEmbeddings:
    return TypeEmbeddings(**SMALL).fit(*world(), show_progress=False)


@pytest.mark.parametrize("reading", ["next", "similar"])
def test_a_group_lies_next_to_what_it_books(
    fitted: TypeEmbeddings, reading: Literal["next", "similar"]
) -> None:
    found = similarities(fitted, reading)
    assert (found.argmax(axis=1) == np.arange(KINDS)).all()
    own, others = np.diag(found).mean(), found[~np.eye(KINDS, dtype=bool)].mean()
    assert own > others + 0.3


def test_a_shuffled_world_teaches_nothing() -> None:
    bookings, users = world()
    rng = np.random.default_rng(0)
    mixed = users.set_column(1, "group", users["group"].take(pa.array(rng.permutation(len(users)).tolist())))
    found = similarities(TypeEmbeddings(**SMALL).fit(bookings, mixed, show_progress=False))
    assert (found.argmax(axis=1) == np.arange(KINDS)).sum() <= 3  # 1 by chance


def test_users_who_booked_once_count_too() -> None:
    bookings, users = world(n_users=2400, n_stays=1)
    found = similarities(TypeEmbeddings(**SMALL).fit(bookings, users, show_progress=False))
    assert (found.argmax(axis=1) == np.arange(KINDS)).all()


def test_refusals_push_types_apart(fitted: TypeEmbeddings) -> None:
    """Guests of group 1 are declined by listings of kind 1; without that the two lie closest."""
    bookings, users = world()
    guests = [row["user_id"] for row in users.to_pylist() if row["group"] == "1"]
    refused = pa.table(
        {"user_id": guests * 3, "item_id": ["i01"] * len(guests) * 3, "ts_us": [9] * len(guests) * 3}
    )
    declined = TypeEmbeddings(**SMALL).fit(bookings, users, refused, show_progress=False)
    assert declined.n_rejections_ == len(refused)
    before, after = similarities(fitted), similarities(declined)
    fell = before - after
    assert fell[1, 1] > 0.1
    others = [fell[kind, kind] for kind in range(KINDS) if kind != 1]
    assert fell[1, 1] > max(others) + 0.1


def test_refusals_of_strangers_are_counted() -> None:
    bookings, users = world(60)
    refused = pa.table(
        {"user_id": ["u0001", "u0001", "stranger"], "item_id": ["i01", "nowhere", "i01"], "ts_us": [9, 9, 9]}
    )
    found = TypeEmbeddings(**SMALL, min_support=1).fit(bookings, users, refused, show_progress=False)
    assert (found.n_rejections_, found.n_rejections_unknown_) == (1, 2)


def test_the_same_seed_gives_the_same_bytes(fitted: TypeEmbeddings) -> None:
    again = TypeEmbeddings(**SMALL).fit(*world(), show_progress=False)
    np.testing.assert_array_equal(again.vectors_.vectors, fitted.vectors_.vectors)
    other = TypeEmbeddings(**{**SMALL, "seed": 2}).fit(*world(), show_progress=False)
    assert not np.array_equal(other.vectors_.vectors, fitted.vectors_.vectors)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(*[st.sampled_from("ab")] * 3).map("_".join), min_size=1, max_size=60),
    st.integers(1, 12),
)
def test_every_type_backs_off_to_the_nearest_that_is_frequent(rows: list[str], support: int) -> None:
    homes, facts = back_off(coded(rows), support)
    totals = Counter(homes[one] for one in rows)
    for name, home in homes.items():
        assert home in ancestors(name)
    for home, n in totals.items():
        assert home == ANY or n >= support
    counts = Counter(rows)
    for name in counts:
        assert (homes[name] == name) == (counts[name] >= support), "a frequent type keeps its name"
    assert facts.n_stays == sum(facts.by_dropped.values()) == len(rows)
    assert facts.by_dropped.get(0, 0) == sum(n for n in counts.values() if n >= support)
    assert facts.n_kept == len(totals)
    assert BackOff.from_json(json.loads(json.dumps(facts.to_json()))) == facts


def test_an_unknown_type_answers_through_its_ancestor(fitted: TypeEmbeddings) -> None:
    np.testing.assert_array_equal(fitted.similarity("g1_x_y", ["k2"]), fitted.similarity("g1", ["k2"]))
    found = fitted.similarity("g1", ["k2", "k99", "k2_more"])
    assert found[0] == found[2]
    everyone = fitted.vector("user", "gX")
    counts = fitted.vectors_.vocabulary.counts
    own = [k for k, name in enumerate(fitted.vectors_.index_to_key) if name.startswith("u:")]
    mean = counts[own] @ np.asarray(fitted.vectors_.vectors)[own] / counts[own].sum()
    np.testing.assert_allclose(everyone, mean, atol=1e-6)
    assert fitted.has_own_vector("user", "g1")
    assert not fitted.has_own_vector("user", "gX")


def test_saved_embeddings_answer_the_same(fitted: TypeEmbeddings, tmp_path: Path) -> None:
    fitted.save(tmp_path / "types")
    loaded = TypeEmbeddings.load(tmp_path / "types")
    np.testing.assert_array_equal(similarities(loaded), similarities(fitted))
    assert loaded.type_map_ == fitted.type_map_
    assert loaded.back_off_ == fitted.back_off_
    assert loaded.known_ == fitted.known_ == {"user_type g": 1.0, "listing_type k": 1.0}
    settings = {**fitted.get_params(), "workers": None, "type_map": None}
    assert {**loaded.get_params(), "type_map": None} == settings
    ids = world()[0].item_ids
    assert loaded.bookings_of(ids) == fitted.bookings_of(ids) == np.bincount(world()[0].tokens).tolist()
    assert loaded.bookings_of(pa.array(["nowhere"])) == [0]
    with pytest.raises(UsageError, match="not empty"):
        fitted.save(tmp_path / "types")
    (tmp_path / "types" / "types.json").write_text('{"type_map": 3}')
    with pytest.raises(CorruptArtifactError, match="types\\.json"):
        TypeEmbeddings.load(tmp_path / "types")
    with pytest.raises(SourceError, match="no type embeddings"):
        TypeEmbeddings.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "bad", [{"min_support": 0}, {"min_support": 2.5}, {"min_support": True}, {"epochs": 0}]
)
def test_bad_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(bad))):
        TypeEmbeddings(**{**SMALL, **bad}).fit(*world(20), show_progress=False)


def test_without_a_booking_there_is_nothing_to_learn() -> None:
    bookings, users = world(3)
    with pytest.raises(EmptyDataError, match="no booking"):
        TypeEmbeddings(**SMALL).fit(bookings.take([]), users, show_progress=False)
    with pytest.raises(UsageError, match="not fitted"):
        TypeEmbeddings().save("nowhere")
    with pytest.raises(UsageError, match="no column item_id, ts_us"):
        TypeEmbeddings(**SMALL).fit(bookings, users, pa.table({"user_id": ["u0001"]}), show_progress=False)


def test_refusals_are_read_from_the_log() -> None:
    day = 86_400_000_000
    rows = [
        ("u", "a", "rejection", 1 * day),
        ("u", "a", "booking", 2 * day),  # the same listing after all
        ("v", "a", "rejection", 1 * day),
        ("v", "b", "booking", 3 * day),
        ("w", "c", "rejection", 4 * day),
        ("w", "d", "booking", 3 * day),  # before
        ("x", "c", "click", 4 * day),
    ]
    log = pa.table(
        dict(zip(("user_id", "item_id", "event_type", "ts_us"), zip(*rows, strict=True), strict=True))
    )

    def users(**options: float) -> list[str]:
        return sorted(rejections_of(log, **options)["user_id"].to_pylist())

    assert users() == ["u", "v", "w"]
    assert users(before_us=4 * day) == ["u", "v"]
    assert users(booked_elsewhere_within_days=2) == ["v"]
    assert users(booked_elsewhere_within_days=1.5) == []
    assert users(booked_elsewhere_within_days=2, before_us=3 * day) == []
    with pytest.raises(UsageError, match="positive"):
        rejections_of(log, booked_elsewhere_within_days=0)
    with pytest.raises(UsageError, match="event table"):
        rejections_of(pa.table({"a": [1]}))


def test_a_user_s_type_changes_with_each_booking() -> None:
    rules = TypeMap.from_document(
        {
            "listing_type": [{"code": "k", "column": "kind", "own": True}],
            "user_type": [{"code": "nb", "count_of": "bookings", "edges": [1, 2, 3]}],
        }
    )
    bookings, _ = world(20, 2)
    types = TypeEmbeddings(**{**SMALL, "type_map": rules, "min_support": 1})
    types.fit(bookings, show_progress=False)
    users = pa.table({"user_id": ["u0000", "new"]})
    found = types.user_type_table(replace(bookings, ts_us=bookings.ts_us + 5), users).to_pylist()
    of = {
        user: [(r["ts_us"], r["user_type"]) for r in found if r["user_id"] == user]
        for user in ("u0000", "new")
    }
    assert sorted(of["u0000"]) == [(0, "nb1"), (5, "nb2"), (6, "nb3")]
    assert of["new"] == [(0, "nb1")]
