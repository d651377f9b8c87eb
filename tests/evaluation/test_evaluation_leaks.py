"""Honest flows pass the guard; whatever knows the test is refused, with who, what and what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from item2vec.embeddings import Item2Vec, ItemVectors
from item2vec.errors import DataError, EmptyDataError, LeakError, UsageError
from item2vec.evaluation import fit_baselines, split_sessions
from item2vec.evaluation.config import EvaluateConfig
from item2vec.evaluation.leaks import check_no_leak
from item2vec.recommendations import Recommender
from item2vec.sessions import Sessions
from item2vec.vocabulary import Vocabulary

HOUR = 3_600_000_000
BASELINES = get_args(get_args(EvaluateConfig.model_fields["baselines"].annotation)[0])


def log(n=60, seed=0, kind="click", n_items=12, span=400):
    """Sessions of ten users at random hours, booked half of the time, within a day of their last click."""
    rng = np.random.default_rng(seed)
    lists = [rng.integers(0, n_items, rng.integers(2, 6)).tolist() for _ in range(n)]
    booked = [row[:1] if kind == "click" and rng.random() < 0.5 else [] for row in lists]
    markets = {item: "PQ"[item % 2] for item in range(n_items)}
    sessions = Sessions.from_lists(lists, booked=booked, markets=markets, weights=rng.choice([1, 5], n))
    lengths = np.diff(sessions.offsets)
    spread = 4 if kind == "click" else span
    ts = [np.sort(rng.integers(0, span) + rng.integers(0, spread, length)) for length in lengths]
    ends = np.array([row[-1] for row in ts]) * HOUR
    return replace(
        sessions,
        kind=kind,
        user_ids=pa.array([f"u{rng.integers(10)}" for _ in lists]),
        ts_us=np.concatenate(ts) * HOUR,
        start_us=np.array([row[0] for row in ts]) * HOUR,
        end_us=ends,
        booked_us=(ends + rng.integers(0, 24, n) * HOUR)[np.diff(sessions.booked_offsets) > 0],
    )


def bare(sessions):
    """The same sessions without users and times."""
    return replace(sessions, user_ids=None, ts_us=None, start_us=None, end_us=None, booked_us=None)


def item2vec(train, **options):
    model = Item2Vec(vector_size=4, epochs=1, workers=1, **options).fit(train, show_progress=False)
    return Recommender(model.item_vectors_)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["click", "booking", "bare"]),
    st.sampled_from([0, 0.2]),
    st.floats(0.05, 0.4),
)
def test_both_sides_of_a_split_pass_with_every_baseline(seed, kind, validation, test):
    sessions = log(seed=seed, kind="booking" if kind == "booking" else "click")
    split = split_sessions(bare(sessions) if kind == "bare" else sessions, validation=validation, test=test)
    scorers = fit_baselines(["popularity", "market_popularity", "item_knn"], split.train)
    check_no_leak(scorers, split.train, split.test, split.test_targets)


@pytest.mark.parametrize("kind", ["click", "booking", "bare"])
@pytest.mark.parametrize("options", [{}, {"min_count": 5}, {"market_negative": 2}])
def test_what_was_fitted_on_the_training_side_passes(kind, options, tmp_path):
    sessions = log(kind="booking" if kind == "booking" else "click", n=200)
    split = split_sessions(bare(sessions) if kind == "bare" else sessions)
    assert kind != "click" or split.train.weights.max() == 5  # weights are visits, not clicks
    model = item2vec(split.train, **options)
    model.vectors.save(tmp_path / "vectors")
    again = Recommender(ItemVectors.load(tmp_path / "vectors"))
    scorers = {"item2vec": [model, again], "saved": again, **fit_baselines(BASELINES, split.train)}
    check_no_leak(scorers, split.train, split.test, split.test_targets)
    check_no_leak(scorers, split.train, split.validation, split.validation_targets)


def test_users_of_booking_sequences_may_stand_on_both_sides():
    split = split_sessions(log(kind="booking"), validation=0, test=0.3)
    shared = set(split.train.session_ids.tolist()) & set(split.test.session_ids.tolist())
    assert shared
    check_no_leak(fit_baselines(["popularity"], split.train), split.train, split.test, split.test_targets)


def test_clicks_may_train_for_a_test_of_stays():
    clicks = split_sessions(log(n=200, span=200), validation=0, test_from=90 * HOUR).train
    stays = split_sessions(log(kind="booking"), validation=0, test_from=100 * HOUR)
    check_no_leak({"clicks": item2vec(clicks)}, clicks, stays.test, stays.test_targets)


def test_other_sessions_with_equal_numbers_are_no_leak():
    """Two logs read one by one are both numbered from 0, and short sessions over few items repeat."""
    early, late = log(span=100), log(span=100)
    times = ("ts_us", "start_us", "end_us", "booked_us")
    late = replace(late, **{name: getattr(late, name) + 200 * HOUR for name in times})
    check_no_leak({}, early, late)
    check_no_leak({}, bare(early), bare(late).take(range(9)))  # nine sessions of the same items may be chance
    turned = replace(bare(late), tokens=(late.tokens + 1) % late.n_items)
    check_no_leak({}, bare(early), turned)
    check_no_leak({}, bare(early), bare(log(seed=1)))
    check_no_leak({}, replace(turned, user_ids=early.user_ids), replace(bare(late), user_ids=early.user_ids))
    half = np.repeat(np.arange(len(late)) % 2 == 0, np.diff(late.offsets))
    check_no_leak({}, bare(early), replace(bare(late), tokens=np.where(half, turned.tokens, late.tokens)))
    check_no_leak({}, early, replace(bare(late), user_ids=pa.array([f"v{n}" for n in range(len(late))])))


def test_a_click_session_counts_from_its_start_on():
    """The clicks before the first target are its history, and as new to the training side."""
    train = replace(log(1), ts_us=None, start_us=np.array([0]), end_us=np.array([9]), booked_us=None)
    test = replace(
        Sessions.from_lists([["a", "b"], ["c"]]),
        session_ids=np.array([7, 8]),
        ts_us=np.array([10, 12, 3]),  # the last session is one click, and asks for nothing
        start_us=np.array([10, 3]),
        end_us=np.array([12, 3]),
    )
    train = replace(train, item_ids=pa.array([f"{n:02}" for n in range(train.n_items)]))
    check_no_leak({}, train, test)
    late = replace(train, end_us=np.array([10]))
    booked = replace(train, booked=np.array([0]), booked_offsets=np.array([0, 1]), booked_us=np.array([10]))
    for leaky, what in ((late, "clicks"), (booked, "bookings")):
        with pytest.raises(LeakError, match=f"training {what} lie at or after the first session"):
            check_no_leak({}, leaky, test)
    for lacking in (("ts_us",), ("start_us", "end_us")):  # the others tell
        partial = replace(test, **dict.fromkeys(lacking))
        check_no_leak({}, train, partial)
        with pytest.raises(LeakError, match="clicks lie"):
            check_no_leak({}, late, partial)
    check_no_leak({}, late, replace(test, ts_us=None, start_us=None, end_us=None))  # nothing tells
    check_no_leak({}, late, test.take([1]))  # no target, nothing to know
    check_no_leak({}, late, test, np.array([2, 1]))


CLICKS = log(n=120)
SPLIT = split_sessions(CLICKS, validation=0.1, test=0.2)
STAYS = log(n=120, kind="booking")
STAY_SPLIT = split_sessions(STAYS, validation=0.1, test=0.2)
FRESH = Sessions.from_lists([["new", "a"], ["a", "b"]])


def plus_test(split):
    """Training and test sessions as one."""
    ids = np.concatenate([split.train.session_ids, split.test.session_ids])
    return CLICKS.take(np.flatnonzero(np.isin(CLICKS.session_ids, ids)))


def moved(sessions, name, value):
    times = getattr(sessions, name).copy()
    times[-1] = value
    return replace(sessions, **{name: times})


TWO_STAYS = replace(
    Sessions.from_lists([["a", "b", "c"]]),
    kind="booking",
    ts_us=np.array([1, 5, 9]),
    start_us=np.array([1]),
    end_us=np.array([9]),
)


@pytest.mark.parametrize(
    ("leak", "says"),
    [
        (  # the whole log as the training side
            lambda: check_no_leak(fit_baselines(["popularity"], CLICKS), CLICKS, SPLIT.test),
            rf"{len(SPLIT.test)} of the {len(SPLIT.test)} test sessions are among the training sessions too",
        ),
        (
            lambda: check_no_leak({}, bare(CLICKS), bare(SPLIT.test)),
            "test sessions are among the training sessions",
        ),
        (  # one test session slipped in, told by its user and items alone
            lambda: check_no_leak(
                {},
                replace(bare(CLICKS), user_ids=CLICKS.user_ids).take([*range(50), 70]),
                replace(bare(CLICKS), user_ids=CLICKS.user_ids).take([*range(60, 80)]),
            ),
            "1 of the 20 test sessions .* session_id 70",
        ),
        (  # numbered anew, so that only the times tell
            lambda: check_no_leak(
                {},
                replace(plus_test(SPLIT), session_ids=np.arange(10**6, 10**6 + len(plus_test(SPLIT)))),
                SPLIT.test,
            ),
            r"training clicks lie at or after the first session of the test, 1970-.*split\.train",
        ),
        (  # the times of the clicks are not kept, those of the sessions are
            lambda: check_no_leak({}, moved(replace(SPLIT.train, ts_us=None), "end_us", 10**15), SPLIT.test),
            "training clicks lie at or after",
        ),
        (  # those of the sessions are not kept, those of the clicks are
            lambda: check_no_leak(
                {}, moved(replace(SPLIT.train, start_us=None, end_us=None), "ts_us", 10**15), SPLIT.test
            ),
            "training clicks lie at or after",
        ),
        (
            lambda: check_no_leak({}, moved(SPLIT.train, "booked_us", 10**15), SPLIT.test),
            "training bookings lie at or after",
        ),
        (  # stays of the test
            lambda: check_no_leak({}, STAYS, STAY_SPLIT.test, STAY_SPLIT.test_targets),
            "training stays lie at or after .* split_sessions",
        ),
        (  # every stay of the test sequences taken for a target, those before the cut too
            lambda: check_no_leak({}, STAY_SPLIT.train, STAY_SPLIT.test),
            r"and first_targets=split\.test_targets",
        ),
        (lambda: check_no_leak({}, TWO_STAYS, TWO_STAYS, np.array([0])), "training stays"),
        (  # vocabulary of the whole log
            lambda: check_no_leak(
                fit_baselines(["popularity"], FRESH), FRESH.take([1]), Sessions.from_lists([["a", "b"]])
            ),
            "scorer 'popularity' knows 1 items that no training session has .*'new'.*fit it on split.train",
        ),
        (  # more clicks of the same items
            lambda: check_no_leak(
                {"item2vec": item2vec(plus_test(SPLIT), min_count=5)}, SPLIT.train, SPLIT.test
            ),
            r"scorer 'item2vec' has counted \d+ items more often than the training sessions click them",
        ),
        (  # one seed of three
            lambda: check_no_leak(
                {"item2vec": [item2vec(SPLIT.train), item2vec(SPLIT.train), item2vec(CLICKS)]},
                SPLIT.train,
                SPLIT.test,
            ),
            r"scorer 'item2vec' \(seed 3 of 3\) has counted",
        ),
    ],
)
def test_a_leak_is_refused_and_named(leak, says):
    with pytest.raises(LeakError, match=says) as refused:
        leak()
    assert refused.value.exit_code == 3
    assert isinstance(refused.value, DataError)


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_that_saw_the_test_is_refused(name):
    scorers = fit_baselines([name], plus_test(SPLIT))
    with pytest.raises(LeakError, match=f"scorer '{name}' has counted"):
        check_no_leak(scorers, SPLIT.train, SPLIT.test)


def test_an_item_that_was_only_booked_is_no_foreign_item():
    train = Sessions.from_lists([["a", "b"]], booked=[["z"]])

    class Catalogue:
        vocabulary = Vocabulary(pa.array(["a", "z"]), np.array([1, 0]))

        def scores(self, histories):
            return np.zeros((len(histories), 2), np.float32)

    check_no_leak({"catalogue": Catalogue()}, train, FRESH)


def test_what_cannot_be_checked_is_refused_as_what_it_is():
    with pytest.raises(EmptyDataError, match="training side holds no session"):
        check_no_leak({}, SPLIT.train.take([]), SPLIT.test)
    with pytest.raises(UsageError, match="one per session"):
        check_no_leak({}, SPLIT.train, SPLIT.test, np.array([1]))
    with pytest.raises(DataError, match="id_type"):
        check_no_leak({}, SPLIT.train, FRESH)
    with pytest.raises(DataError, match="id_type"):
        check_no_leak(fit_baselines(["popularity"], FRESH), SPLIT.train, SPLIT.test)
    check_no_leak({}, SPLIT.train, SPLIT.test.take([]))
