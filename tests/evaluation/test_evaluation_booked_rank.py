"""Booked rank: planted answers, a brute-force referee over drawn logs, exclusions, seeds, intervals."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from booked_rank_referee import (
    Fixed,
    Table,
    event,
    referee_markets,
    referee_rank,
    referee_searches,
    sessions_of_log,
    shown,
    write_log,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import item2vec as i2v
from item2vec.errors import DataError, LeakError, UsageError
from item2vec.evaluation import booked_rank, search_lists
from item2vec.evaluation.booked_ranks import protocol as booked_ranking
from item2vec.sessions import Sessions

QUICK = {"n_bootstrap": 100, "min_cases": 1}
S = 1_000_000
SCORES = {"a": 1.0, "b": 2.0, "c": 5.0, "d": 4.0, "k": 3.0, "x": 6.0}
MARKETS = {"a": "Rome", "b": "Rome", "c": "Rome", "k": "Rome", "x": "Bern"}


def planted_log(folder):
    """One guest clicks a, b, k, and books k; searches before, between, after, and somebody else's."""
    events = [
        *shown("u", 0, "s0", "kab"),  # before the first click
        *shown("u", 1 * S, "s1", "kab"),  # at its very time
        event("u", 1 * S, "click", "a", search_id="s0", position=2),
        *shown("u", 5 * S, "s2", "xkba"),
        event("u", 10 * S, "click", "b", search_id="s2", position=3),
        *shown("u", 15 * S, "s3", "abc"),  # k is not shown
        *shown("u", 18 * S, "s7", "bka"),  # right before the first click on k
        event("u", 20 * S, "click", "k", search_id="s2", position=2),
        *shown("u", 25 * S, "s4", "ck"),
        event("u", 30 * S, "booking", "k"),
        *shown("u", 30 * S, "s5", "dcbk"),  # at the time of the booking
        *shown("u", 31 * S, "s6", "kc"),  # after it
        *shown("v", 16 * S, "s2", "dk"),  # another guest's search of the same name
        event("v", 17 * S, "click", "c"),
    ]
    return write_log(folder, events)


@pytest.fixture
def planted(tmp_path):
    log = planted_log(tmp_path)
    sessions = sessions_of_log(log)
    return sessions, search_lists(log, sessions)


def test_a_case_is_a_search_between_the_first_click_and_the_booking(planted):
    sessions, searches = planted
    result = booked_rank({"fixed": Fixed(SCORES)}, sessions, searches=searches, **QUICK)
    cases = result.cases
    assert cases.positions.tolist() == [3, 2, 1, 1]  # s2 after a; s7 after b; s4 and s5 after k
    assert (cases.ends - cases.starts).tolist() == [1, 2, 3, 3]
    assert cases.before.tolist() == [True, True, False, False]
    assert cases.n_candidates.tolist() == [3, 2, 2, 4]  # without the query, except where it is k
    assert result.lines["production order"].ranks.tolist() == [[2, 1, 2, 4]]
    assert result.lines["fixed"].ranks.tolist() == [[2, 1, 2, 3]]
    assert result.curves["production order"]["before"].overall.normalised.value == 1 / 4
    assert result.curves["fixed"]["all"].overall.mean_rank.value == 2
    assert cases.excluded == {
        "bookings without a search that showed them after a click": 0,
        "more than 17 clicks before": 0,
        "searches that showed a booked listing that no scorer knows": 0,
        "lists of one candidate": 0,
    }


def test_a_search_of_the_query_and_the_booked_or_of_an_unknown_booked_is_no_case(tmp_path):
    clicks = [event("u", ts, "click", item) for ts, item in ((1, "a"), (5, "b"), (8, "k"))]
    booking = event("u", 9, "booking", "k")
    log = write_log(tmp_path, [*clicks, booking, *shown("u", 2, "s1", "ak"), *shown("u", 6, "s2", "akb")])
    sessions = sessions_of_log(log)
    searches = search_lists(log, sessions)
    result = booked_rank({"fixed": Fixed(SCORES)}, sessions, searches=searches, **QUICK)
    assert result.cases.excluded["lists of one candidate"] == 1
    assert result.cases.n_candidates.tolist() == [2]
    assert result.lines["production order"].ranks.tolist() == [[2]]
    stranger = {"one": Fixed({"a": 1.0, "b": 2.0}), "two": Fixed({"a": 1.0, "z": 2.0})}
    found = booked_rank(stranger, sessions, searches=searches, **QUICK).to_json()
    assert found["n_cases"] == found["lines"]["production order"]["all"]["n"] == 0
    assert found["excluded"]["searches that showed a booked listing that no scorer knows"] == 2
    knows = {**stranger, "three": Fixed({"k": 0.0})}  # one is enough
    assert booked_rank(knows, sessions, searches=searches, **QUICK).to_json()["n_cases"] == 1


def test_the_query_is_never_later_than_its_list(planted):
    sessions, searches = planted
    result = booked_rank({"fixed": Fixed(SCORES)}, sessions, searches=searches, **QUICK)
    assert (sessions.ts_us[result.cases.ends - 1] < searches.first_us).all()


def test_in_the_market_each_click_before_the_booking_is_a_query(tmp_path):
    log = planted_log(tmp_path)
    sessions = i2v.sessionize(
        replace_items(log, pa.table({"item_id": list(MARKETS), "market": list(MARKETS.values())})),
        min_length=1,
    )
    scorers = {"knows c": Fixed({"c": 1.0, "k": 0.0}), "knows b": Fixed({"a": 1.0, "b": 2.0, "x": 9.0})}
    result = booked_rank(scorers, sessions, **QUICK)
    cases = result.cases
    assert cases.positions.tolist() == [3, 2, 1]
    assert cases.before.tolist() == [True, True, False]
    assert cases.n_candidates.tolist() == [3, 3, 4]  # a, b, c, k; without the query, except where it is k
    assert cases.places is None
    # c is above k; what a scorer does not know shares the end with what else it does not know
    assert result.lines["knows c"].ranks.tolist() == [[2, 2, 2]]
    assert result.lines["knows b"].ranks.tolist() == [[2.5, 2.5, 3.5]]
    knows_b = result.to_json()["lines"]["knows b"]
    assert (knows_b["n_unseen_booked"], knows_b["n_unseen_queries"], knows_b["n_unseen_candidates"]) == (
        3,
        1,
        6,
    )


def replace_items(log, items):
    log.items = items
    return log


@st.composite
def drawn_logs(draw):
    """Ties in time, repeats, searches over several moments, positions missing or not."""
    events = []
    positions = draw(st.sampled_from(["all", "all", "some"]))
    ids = draw(st.sampled_from([[1, 2, 3, 4, 5, 6], ["a", "b", "c", "d", "e", "é"]]))
    for user in range(draw(st.integers(1, 3))):
        now = 1_000_000
        for _ in range(draw(st.integers(2, 16))):
            now += draw(st.sampled_from([0, 0, 1, 60 * S, 60 * S, 1801 * S, 90_000 * S]))
            kind = draw(st.sampled_from(["click", "click", "click", "booking", "search", "search"]))
            who = f"u{user}"
            if kind == "search":
                items = draw(st.lists(st.sampled_from(ids), min_size=1, max_size=5))
                rows = shown(who, now, draw(st.sampled_from(["s", "t", "r", "q", None])), items)
                for row in rows:
                    row["ts_us"] += draw(st.sampled_from([0, 0, 0, 1, S]))
                    row["seq"] = draw(st.sampled_from([0, 1]))
                    if positions == "some":
                        row["position"] = draw(st.sampled_from([None, 1, 2, 3]))
                events += rows
            else:
                events.append(event(who, now, kind, draw(st.sampled_from(ids))))
        events.append(event(f"u{user}", now, "click", draw(st.sampled_from(ids))))
        if draw(st.booleans()):  # by luck alone hardly a log has a search that showed what was booked
            booked = draw(st.sampled_from(ids))
            events += shown(f"u{user}", now + 1, "z", draw(st.permutations(ids)))
            events += [event(f"u{user}", now + 2, kind, booked) for kind in ("click", "booking")]
    markets = {item: draw(st.sampled_from(["Rome", "Bern", None])) for item in ids}
    known = draw(st.lists(st.sampled_from(ids), min_size=1, max_size=6, unique=True))
    return draw(st.permutations(events)), markets, known, ids


def found_cases(result, sessions):
    """Write the result's cases as the referee does, each with its ranks."""
    cases, lists = result.cases, result.cases.item_ids.to_pylist()
    ids = sessions.item_ids.to_pylist()
    rows = []
    for case in range(len(cases)):
        history = tuple(ids[token] for token in sessions.tokens[cases.starts[case] : cases.ends[case]])
        ranks = tuple(tuple(line.ranks[:, case].tolist()) for line in result.lines.values())
        rows.append(
            (
                int(cases.session_nums[case]),
                lists[cases.booked[case]],
                history,
                int(cases.positions[case]),
                bool(cases.before[case]),
                int(cases.n_candidates[case]),
                ranks,
            )
        )
    return sorted(rows, key=repr)


def expected_cases(cases, methods, names, max_position, known):
    rows = []
    for case in cases:
        if case.position > max_position or len(case.candidates) < 2 or case.booked not in known:
            continue
        ranks = []
        for name in names:
            if name == "production order":
                ranks.append((case.candidates.index(case.booked) + 1.0,))
                continue
            pooled = name.endswith(", pooled")
            scorers = methods[name.removesuffix(", pooled")]
            ranks.append(tuple(referee_rank(scorer, case, pooled) for scorer in scorers))
        rows.append(
            (
                case.session,
                case.booked,
                case.history,
                case.position,
                case.before,
                len(case.candidates),
                tuple(ranks),
            )
        )
    return sorted(rows, key=repr)


@settings(max_examples=40, deadline=None)
@given(drawn_logs(), st.sampled_from([17, 17, 2]))
def test_the_protocol_agrees_with_plain_loops(drawn, max_position):
    check_against_referee(drawn, max_position)


@pytest.mark.long
@settings(max_examples=600, deadline=None)
@given(drawn_logs(), st.sampled_from([17, 17, 2, 1]))
def test_the_protocol_agrees_with_plain_loops_on_many_logs(drawn, max_position):
    check_against_referee(drawn, max_position)


def check_against_referee(drawn, max_position):
    events, markets, known, ids = drawn
    named = {item: market for item, market in markets.items() if market}
    items = pa.table({"item_id": pa.array(ids), "market": pa.array(list(markets.values()), pa.string())})
    methods = {"one": [Table(known, 0)], "two": [Table(ids[:4], 1), Table(ids[:4], 2)]}
    known_by_any = {*known, *ids[:4]}
    with tempfile.TemporaryDirectory() as folder:
        log = write_log(Path(folder), events, items)
        sessions = sessions_of_log(log)
        searches = search_lists(log, sessions)
    options = {**QUICK, "max_position": max_position}
    in_lists = booked_rank(methods, sessions, searches=searches, **options)
    in_market = booked_rank(methods, sessions, **options)
    plain = (
        referee_searches(events, sessions),
        referee_markets(sessions, known_by_any & {*ids_of(sessions)}, named),
    )
    for result, cases in zip((in_lists, in_market), plain, strict=True):
        expected = expected_cases(cases, methods, result.lines, max_position, known_by_any)
        assert found_cases(result, sessions) == expected
        excluded = result.cases.excluded
        (of_unknown,) = (n for reason, n in excluded.items() if "no scorer knows" in reason)
        assert of_unknown == sum(
            case.position <= max_position and case.booked not in known_by_any for case in cases
        )
        assert excluded[f"more than {max_position} clicks before"] == sum(
            case.position > max_position for case in cases
        )
        check_figures(result)
    covered = {(case.session, case.booked) for case in plain[0]}
    without = in_lists.cases.excluded["bookings without a search that showed them after a click"]
    assert without == len(sessions.booked) - len(covered)
    unplaced = in_market.cases.excluded["bookings of a listing without a market"]
    assert unplaced == sum(ids_of(sessions)[token] not in named for token in sessions.booked)


def ids_of(sessions):
    return sessions.item_ids.to_pylist()


def check_figures(result):
    """Every figure is the plain mean of its cases, NaN or None without one."""
    cases, found = result.cases, result.to_json()
    json.dumps(found, allow_nan=False)
    for name, line in result.lines.items():
        ranks = line.ranks.mean(axis=0)
        shares = (ranks - 1) / (cases.n_candidates - 1)
        for curve, mask in (("before", cases.before), ("all", np.ones(len(cases), bool))):
            figures = found["lines"][name][curve]
            assert figures["n"] == mask.sum()
            assert figures["n_sessions"] == len({*cases.session_nums[mask].tolist()})
            check_mean(figures["mean_rank"]["value"], ranks[mask])
            check_mean(figures["normalised"]["value"], shares[mask])
            assert sum(entry["n"] for entry in figures["by_position"]) == mask.sum()
            for entry in figures["by_position"]:
                at = mask & (cases.positions == entry["position"])
                assert entry["n"] == at.sum()
                assert (entry["normalised"] is None) == (not at.any())
                if at.any():
                    check_mean(entry["normalised"]["value"], shares[at])


def check_mean(value, values):
    assert value == (pytest.approx(values.mean()) if len(values) else None)


def crowd(n, position=1, extra=0):
    """`n` sessions that each click `position` + `extra` listings, and then book k."""
    clicks = [f"c{i}" for i in range(position + extra)]
    markets = dict.fromkeys([*clicks, "k"], "Rome")
    return Sessions.from_lists([clicks] * n, booked=[["k"]] * n, markets=markets)


def test_positions_count_back_from_the_booking_and_end_at_the_seventeenth():
    test = crowd(3, 17, extra=2)
    scorer = Fixed({item: float(i) for i, item in enumerate(test.item_ids.to_pylist())})
    result = booked_rank({"fixed": scorer}, test, **QUICK)
    assert sorted({*result.cases.positions.tolist()}) == list(range(1, 18))
    assert result.cases.excluded["more than 17 clicks before"] == 6
    last = result.cases.positions == 1
    assert (test.item_ids.take(pa.array(test.tokens[result.cases.ends[last] - 1])).to_pylist()) == ["c18"] * 3


def test_positions_with_few_cases_are_hidden_and_a_thin_headline_is_called_so():
    test = crowd(9, 2)
    scorers = {"fixed": Fixed({"c0": 1.0, "c1": 2.0, "k": 3.0})}
    shown_all = booked_rank(scorers, test, min_cases=9, n_bootstrap=100)
    assert shown_all.insufficient is None
    assert shown_all.curves["fixed"]["before"].by_position[2].normalised.value == 0
    hidden = booked_rank(scorers, test, min_cases=10, n_bootstrap=100)
    assert hidden.insufficient is None  # 18 cases in all
    assert [at.n for at in hidden.curves["fixed"]["before"].by_position.values()] == [9, 9, *[0] * 15]
    assert {at.normalised for at in hidden.curves["fixed"]["before"].by_position.values()} == {None}
    few = booked_rank(scorers, test, n_bootstrap=100)
    assert repr(few).startswith("Booked rank (market, insufficient data): 18 cases; those before")
    assert repr(hidden).startswith("Booked rank (market): 18 cases; those before")
    assert few.insufficient == (
        "insufficient data: 18 of 18 cases lie before the first click on the booked listing, 18 of them with"
        " a booked listing and a last click that every scorer knows; it takes 100"
    )


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        (Sessions.from_lists([["a", "b"]], markets=MARKETS), None),  # nothing booked
        (Sessions.from_lists([["a", "b"]], booked=[["k"]]), "bookings of a listing without a market"),
        (
            Sessions.from_lists([["a"]], booked=[["b"]], markets={"a": "Rome", "b": "Bern"}),
            "lists of one candidate",
        ),
        (
            Sessions.from_lists([["a"]], booked=[["k"]], markets={"a": "Rome", "k": "Rome"}),
            "clicks before the booking of a listing that no scorer knows",
        ),
    ],
)
def test_without_a_case_there_are_reasons_and_no_figures(test, reason):
    found = booked_rank({"fixed": Fixed({"a": 1.0, "b": 2.0})}, test, **QUICK).to_json()
    assert found["n_cases"] == found["n_sessions"] == 0
    assert found["mean_candidates"] is None
    assert found["lines"]["fixed"]["before"]["mean_rank"] == {"value": None, "low": None, "high": None}
    assert found["lines"]["fixed"]["seeds"] == {"mean_rank": [None], "normalised": [None]}
    assert found["insufficient"].startswith("insufficient data: 0 of 0 cases")
    assert {name: n for name, n in found["excluded"].items() if n} == ({reason: 1} if reason else {})


def test_cases_that_no_scorer_knows_are_no_data_about_it():
    """Most of trivago's hotels come up in one session: a thousand cases, and hardly one for a model."""
    test = crowd(20, 2)
    stranger, native = Fixed({"c0": 1.0, "c1": 2.0, "y": 0.0}), Fixed({"c0": 1.0, "c1": 2.0, "k": 3.0})
    found = booked_rank({"stranger": stranger}, test, min_cases=2, n_bootstrap=100).to_json()
    assert found["insufficient"].startswith("insufficient data: 0 of 0 cases lie before")
    both = {"stranger": stranger, "native": native}  # what one of the two knows compares nothing
    found = booked_rank(both, test, min_cases=2, n_bootstrap=100).to_json()
    assert found["insufficient"].startswith("insufficient data: 40 of 40 cases lie before")
    assert found["n_known_by_all"] == found["lines"]["stranger"]["known"]["n"] == 0
    assert found["lines"]["native"]["known"]["n"] == 40
    knows_two = Fixed({"c0": 1.0, "c1": 2.0, "k": 3.0})
    found = booked_rank({"two": knows_two}, crowd(20, 3), min_cases=40, n_bootstrap=100).to_json()
    assert found["insufficient"] is None
    assert found["lines"]["two"]["before"]["n"] == 60
    assert found["lines"]["two"]["known"] == {
        "n": 40,
        "n_sessions": 20,
        "mean_rank": {"value": 1.0, "low": 1.0, "high": 1.0},
        "normalised": {"value": 0.0, "low": 0.0, "high": 0.0},
    }


def test_a_method_that_says_nothing_is_last_and_counted():
    """A listing without training clicks: an answer must put it last, so silence must not do better."""
    silent = {"nan": np.nan, "minus": -np.inf}
    scorers = {name: Fixed(dict.fromkeys(["c0", "c1", "c2", "z"], score)) for name, score in silent.items()}
    scorers["answers"] = Fixed({"c0": 1.0, "c1": 2.0, "c2": 3.0, "z": 0.0})
    found = booked_rank(scorers, crowd(5, 3), **QUICK).to_json()
    assert found["n_cases"] == 0
    assert found["excluded"]["clicks before the booking of a listing that no scorer knows"] == 15
    scorers["knows k"] = Fixed({"c0": 1.0, "k": 0.5})
    found = booked_rank(scorers, crowd(5, 3), **QUICK).to_json()
    shares = {name: line["before"]["normalised"]["value"] for name, line in found["lines"].items()}
    assert {shares[name] for name in (*silent, "answers")} == {1.0}
    assert shares["knows k"] < 0.5
    empty = {name: line["n_empty_answers"] for name, line in found["lines"].items()}
    assert empty == {**dict.fromkeys(silent, 15), "answers": 0, "knows k": 0}
    seeds = [Fixed({"c0": 1.0, "k": 2.0}), Fixed({"c0": np.nan, "k": np.nan})]
    one = booked_rank({"seeds": seeds, **scorers}, crowd(5, 3), **QUICK).to_json()["lines"]["seeds"]
    assert (one["n_empty_answers"], one["seeds"]["normalised"]) == (15, [0.0, 1.0])


def test_in_a_search_silence_is_last_too_and_production_keeps_its_order(planted):
    sessions, searches = planted
    silent = Fixed(dict.fromkeys(SCORES, -np.inf))
    result = booked_rank({"silent": silent, "fixed": Fixed(SCORES)}, sessions, searches=searches, **QUICK)
    assert result.lines["silent"].ranks.tolist() == [[3, 2, 2, 4]]
    assert result.lines["fixed"].ranks.tolist() == [[2, 1, 2, 3]]
    assert result.lines["production order"].ranks.tolist() == [[2, 1, 2, 4]]
    assert result.lines["silent"].n_empty_answers == 4


def test_the_size_of_the_lists_is_told_of_the_cases_it_is_shown_with(planted):
    sessions, searches = planted
    found = booked_rank({"fixed": Fixed(SCORES)}, sessions, searches=searches, **QUICK).to_json()
    assert found["before"] == {"n_cases": 2, "n_sessions": 1, "mean_candidates": 2.5}
    assert found["all"] == {"n_cases": 4, "n_sessions": 1, "mean_candidates": 2.75}
    other = replace(searches, list_nums=searches.list_nums[[0, 0, 2, 2]])
    found = booked_rank({"fixed": Fixed(SCORES)}, sessions, searches=other, **QUICK).to_json()
    assert (found["before"]["mean_candidates"], found["mean_candidates"]) == (3.0, 2.5)


def test_with_the_training_sessions_leaks_are_refused():
    test, scorers = crowd(3), {"one": Fixed({"c0": 1.0, "k": 1.0})}
    with pytest.raises(LeakError, match="items that no training session has"):
        booked_rank(scorers, test, train=Sessions.from_lists([["c0", "c0"]]), **QUICK)
    train = Sessions.from_lists([["c0", "k"]])
    fine = booked_rank(scorers, test, train=train, **QUICK).to_json()
    assert fine == booked_rank(scorers, test, **QUICK).to_json()


def test_the_first_booked_session_bounds_what_may_have_trained():
    """A session of one click has no next click to be told, but a booked listing."""
    test, scorers = crowd(2), {"one": Fixed({"c0": 1.0, "k": 1.0})}
    test = replace(test, ts_us=np.array([5, 9]), start_us=np.array([5, 9]), end_us=np.array([5, 9]))
    test = replace(test, booked_us=np.array([7, 11]))

    def until(last):
        train = replace(Sessions.from_lists([["c0", "k"]]), session_ids=np.array([7]))
        return replace(train, ts_us=np.array([1, last]), start_us=np.array([1]), end_us=np.array([last]))

    booked_rank(scorers, test, train=until(4), **QUICK)
    for last in (5, 6):
        with pytest.raises(LeakError, match="training clicks lie at or after the first session of the test"):
            booked_rank(scorers, test, train=until(last), **QUICK)
    later = replace(
        test, booked=test.booked[1:], booked_offsets=np.array([0, 0, 1]), booked_us=np.array([11])
    )
    booked_rank(scorers, later, train=until(6), **QUICK)  # where nothing was booked nothing is asked


def test_a_booking_before_every_click_has_no_query():
    test = replace(crowd(2), ts_us=np.array([5, 5]), start_us=np.array([5, 5]), end_us=np.array([5, 5]))
    test = replace(test, booked_us=np.array([5, 6]))
    result = booked_rank({"fixed": Fixed({"c0": 1.0, "k": 3.0, "z": 0.0})}, test, **QUICK)
    assert result.cases.excluded["bookings without a click before them"] == 1
    assert result.cases.excluded["lists of one candidate"] == 1


def test_a_method_that_looks_at_no_history_has_no_pooled_line(planted):
    sessions, searches = planted
    scorers = {"fixed": Fixed(SCORES), "table": Table(list(SCORES), 3)}
    assert list(booked_rank(scorers, sessions, searches=searches, **QUICK).lines) == [
        "production order",
        "fixed",
        "table",
        "table, pooled",
    ]
    plain = booked_rank(scorers, sessions, searches=searches, pooled=False, **QUICK)
    assert list(plain.lines) == ["production order", "fixed", "table"]


def test_without_positions_production_has_no_order(tmp_path):
    clicks = [event("u", 1, "click", "a"), event("u", 3, "click", "k")]
    events = [*clicks, *shown("u", 2, "s", "kab"), event("u", 4, "booking", "k")]
    events[2]["position"] = None
    log = write_log(tmp_path, events)
    sessions = sessions_of_log(log)
    searches = search_lists(log, sessions)
    assert not searches.in_order
    result = booked_rank({"fixed": Fixed(SCORES)}, sessions, searches=searches, **QUICK)
    assert list(result.lines) == ["fixed"]
    assert len(result.cases) == 1


def test_seeds_are_averaged_before_sessions_are_resampled():
    test = crowd(40, 3)
    ids = test.item_ids.to_pylist()
    seeds = [Table(ids, seed) for seed in range(3)]
    result = booked_rank({"all": seeds, "best": seeds[0]}, test, **QUICK)
    found = result.to_json()
    per_seed = found["lines"]["all"]["seeds"]["mean_rank"]
    assert found["lines"]["all"]["n_seeds"] == 3
    assert per_seed == [
        booked_rank({"one": one}, test, **QUICK).to_json()["lines"]["one"]["before"]["mean_rank"]["value"]
        for one in seeds
    ]
    assert found["lines"]["all"]["before"]["mean_rank"]["value"] == pytest.approx(np.mean(per_seed))
    assert result.lines["all"].ranks.shape == (3, len(result.cases))


def test_differences_are_paired_and_clusters_are_sessions():
    """Ranks that vary from session to session by far more than two methods differ: only pairing tells."""
    items = [f"c{i:02d}" for i in range(25)]
    lists = [[items[i % 22]] * 4 for i in range(66)] + [items[22:]]
    booked = [["k"]] * 66 + [[]]
    test = Sessions.from_lists(lists, booked=booked, markets=dict.fromkeys([*items, "k"], "Rome"))
    good = ByQuery(items, 0)
    worse = ByQuery(items, 2)  # one of the two it adds is the query, no candidate
    result = booked_rank({"good": good, "worse": worse}, test, pooled=False, n_bootstrap=500)
    difference = result.difference("good", "worse")
    assert (difference.mean_rank.low, difference.mean_rank.value, difference.mean_rank.high) == (-1, -1, -1)
    alone = result.curves["good"]["before"].overall.mean_rank
    assert alone.low < alone.value - 1
    per_session = result.lines["good"].ranks[0].reshape(66, 4)
    assert (per_session == per_session[:, :1]).all()
    standard_error = per_session[:, 0].std() / np.sqrt(66)  # four times the cases, no narrower
    assert alone.high - alone.low == pytest.approx(2 * 1.96 * standard_error, rel=0.2)
    one = booked_rank({"good": good}, test.take([0]), **QUICK).curves["good"]["before"].overall
    assert np.isnan(one.mean_rank.low)  # a single session says nothing about the spread


class ByQuery:
    """Puts k behind as many others as the number of the query, plus `worse`."""

    def __init__(self, items, worse):
        self.vocabulary = Fixed(dict.fromkeys([*items, "k", "y", "z"], 0.0)).vocabulary
        self._worse = worse

    def scores(self, histories):
        n = len(self.vocabulary)
        rows = np.tile(-np.arange(n, dtype=np.float32), (len(histories), 1))
        for row, history in zip(rows, histories, strict=True):
            row[n - 3] = 0.5 - history[-1] - self._worse
        return rows


def test_batches_change_nothing(monkeypatch):
    test = crowd(5, 6)
    ids = test.item_ids.to_pylist()[1:]
    whole = booked_rank({"table": Table(ids, 1)}, test, **QUICK)
    monkeypatch.setattr(booked_ranking, "SCORE_BYTES", 1)
    one_by_one = booked_rank({"table": Table(ids, 1)}, test, **QUICK)
    for name, line in whole.lines.items():
        assert np.array_equal(line.ranks, one_by_one.lines[name].ranks)
    assert whole.to_json() == one_by_one.to_json()


def test_equal_questions_are_asked_once():
    asked = []

    class Listening(Fixed):
        def scores(self, histories):
            asked.extend(history.tolist() for history in histories)
            return super().scores(histories)

    booked_rank({"fixed": Listening({"c0": 1.0, "c1": 2.0, "k": 3.0})}, crowd(50, 2), pooled=False, **QUICK)
    assert asked == [[0], [1]]


class Crooked(Fixed):
    def __init__(self, answer):
        super().__init__({"c0": 1.0, "k": 1.0})
        self._answer = answer

    def scores(self, histories):
        return self._answer(len(histories))


@pytest.mark.parametrize(
    ("scorers", "options", "error", "message"),
    [
        ({}, {}, UsageError, "at least one scorer"),
        ({"one": []}, {}, UsageError, "empty sequence"),
        ({"one": [Fixed({"k": 1}), Fixed({"c0": 1})]}, {}, UsageError, "know different items"),
        ({"one": Fixed({"k": 1})}, {"max_position": 0}, UsageError, "max_position=0"),
        ({"one": Fixed({"k": 1})}, {"min_cases": 0}, UsageError, "min_cases=0"),
        ({"one": Fixed({1: 1.0})}, {}, DataError, "read both with the same id_type"),
        ({"one": Crooked(lambda n: np.zeros((n, 1)))}, {}, UsageError, "one row per history"),
        ({"one": Crooked(lambda n: None)}, {}, UsageError, "'one' answered \\(\\) for 1"),
        ({"one": Crooked(lambda n: [["x", "y"]] * n)}, {}, UsageError, "must return numbers"),
        ({"production order": Fixed({"k": 1})}, {}, UsageError, "give it another name"),
        (dict.fromkeys(("a", "a, pooled"), Fixed({"k": 1})), {}, UsageError, "named 'a, pooled'"),
    ],
)
def test_calls_that_make_no_sense(scorers, options, error, message):
    with pytest.raises(error, match=message):
        booked_rank(scorers, crowd(2, 3), **options)


def test_lists_of_other_sessions_are_refused(planted):
    _, searches = planted
    with pytest.raises(UsageError, match="about 1 bookings, the test sessions have 3"):
        booked_rank({"one": Fixed({"k": 1.0})}, crowd(3), searches=searches)
    sessions, _ = planted
    renumbered = replace(sessions, session_ids=sessions.session_ids + 1)
    rebooked = replace(sessions, booked=sessions.tokens[:1])
    for other, why in ((renumbered, "bookings of other sessions"), (rebooked, "lack the listing")):
        with pytest.raises(UsageError, match=why):
            booked_rank({"one": Fixed({"k": 1.0})}, other, searches=searches)


def test_search_lists_need_times_users_clicks_and_one_id_type(tmp_path):
    log = planted_log(tmp_path / "log")
    with pytest.raises(DataError, match="no user_ids, start_us, ts_us, booked_us"):
        search_lists(log, crowd(2))
    stays = i2v.sessionize(log, kind="booking", min_length=1)
    for attempt in (lambda: search_lists(log, stays), lambda: booked_rank({"one": Fixed(SCORES)}, stays)):
        with pytest.raises(UsageError, match="booked rank needs click sessions"):
            attempt()
    numbers = [event("u", 1, "click", 1), event("u", 2, "click", 2)]
    with pytest.raises(DataError, match="int64 item ids, the test sessions string"):
        search_lists(write_log(tmp_path / "n", numbers), sessions_of_log(log))
    plain = write_log(tmp_path / "plain", [event("u", 1, "click", "a"), event("u", 2, "booking", "k")])
    assert len(search_lists(plain, sessions_of_log(plain))) == 0
