"""The report's tables and curves, against figures made by hand: what is said, hidden and escaped."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest

from item2vec.evaluation import (
    Popularity,
    ReportPayload,
    booked_rank,
    evaluate_long_term,
    fit_long_term_baselines,
    write_report,
)
from item2vec.evaluation.booked_ranks import protocol as booked_ranking
from item2vec.evaluation.bootstrap import FEWEST_CLUSTERS
from item2vec.evaluation.report import readings
from item2vec.evaluation.report.booked_rank_plot import booked_rank_plot
from item2vec.evaluation.report.next_item_plots import position_plot, slice_plot
from item2vec.evaluation.report.report_plots import draw
from item2vec.sessions import Sessions

HOSTILE = '<script>alert("$\\frac$")</script> & 東京'
NONE = {"value": None, "low": None, "high": None}
SLICES = ("head", "torso", "tail", "cold", "warm", "repeat", "new", "history_cold", "history_warm")


class Result:
    """Figures made by hand, in the shape that a protocol gives."""

    def __init__(self, figures):
        self.figures = figures

    def to_json(self):
        return self.figures


def interval(value, half=1.0):
    return {"value": value, "low": value - half, "high": value + half}


def scorer_figures(recall, n_seeds=1, train=True):
    metrics = {"recall": recall, "hr": recall, "mrr": recall / 3, "ndcg": recall / 2, "map": recall / 3}
    measured = {name: interval(value) for name, value in metrics.items()}
    lists = {
        "diversity": interval(0.9, 0.01),
        "novelty": interval(9.5, 0.1),
        "popularity": interval(40.0, 2.0),
        "popularity_lift": interval(0.35, 0.05),
    }
    three = {"recall": interval(recall), "mrr": interval(recall / 3), "ndcg": interval(recall / 2)}
    return {
        **measured,
        "reachable": {"n": 990, "recall": recall + 1, "mrr": recall / 3},
        "coverage": 55.5,
        "gini": 0.456,
        **(lists if train else dict.fromkeys(lists)),
        "n_items": 1000,
        "n_unseen_targets": 10,
        "n_unseen_histories": 5,
        "n_empty_answers": 0,
        "n_seeds": n_seeds,
        "seeds": {name: [recall + i for i in range(n_seeds)] for name in ("recall", "mrr", "ndcg")},
        "slices": {
            name: {
                "n": 12 if name == "cold" else 300 + at,
                "n_sessions": 9 if name == "cold" else 30,
                **three,
            }
            for at, name in enumerate(SLICES)
        }
        if train
        else None,
        "recall_curve": [recall * (i / 100) ** 0.4 for i in range(1, 101)],
        "by_position": [
            {"position": at, "or_more": at == 10, "n": 1100 - 105 * at, "n_sessions": 90}
            | {"recall": interval(recall + at), "mrr": interval(recall / 3)}
            for at in range(1, 11)
        ],
    }


def pairs(names, figures):
    return [{"a": a, "b": b, **figures(at)} for at, (a, b) in enumerate(combinations(names, 2))]


def next_item_figures(relevant="next", train=True):
    scorers = {
        "item2vec": scorer_figures(40.0, 3, train),
        HOSTILE: scorer_figures(30.0, 1, train),
        "popularity": scorer_figures(8.0, 1, train),
    }
    return {
        "k": 20,
        "relevant": relevant,
        "n_prefixes": 1000,
        "n_sessions": 400,
        "n_sessions_without_case": 0,
        "n_sessions_not_sampled": 0,
        "n_catalogue": 1000,
        "n_targets_known_by_any": 990,
        "scorers": scorers,
        "differences": pairs(
            scorers, lambda at: {name: interval(10.0 - 9 * at, 2.0) for name in ("recall", "mrr", "ndcg")}
        ),
    }


def curve(start, slope, scarce):
    """Make one line's figures: fewer cases the farther from the booking, the farthest ones hidden."""
    points = []
    for at in range(17, 0, -1):
        hidden = at > scarce
        points.append(
            {
                "position": at,
                "n": 1000 // at,
                "mean_rank": None if hidden else interval(start + slope * at, 0.1 * at),
                "normalised": None if hidden else interval(0.2 + 0.01 * at, 0.02),
            }
        )
    whole = {"mean_rank": interval(start, 0.3), "normalised": interval(0.21, 0.01)}
    return {"n": 3000, "n_sessions": 700, **whole, "by_position": points}


def booked_rank_figures(candidates="search", scarce=12):
    names = ["production order", "popularity", "eq. 3", "eq. 4", "eq. 5", HOSTILE, "eq. 5, pooled"]
    lines = {
        name: {
            "before": curve(9.0 - at, 0.1 * (7 - at), scarce),
            "all": curve(7.0 - at, 0.1 * (7 - at), 17),
            "n_unseen_booked": 1,
            "n_unseen_queries": 2,
            "n_unseen_candidates": 3,
            "n_empty_answers": 4,
            "known": None
            if name == "production order"
            else {"n": 2900, "n_sessions": 690, "mean_rank": interval(8.25 - at, 0.3), "normalised": NONE},
            "n_seeds": 3,
            "seeds": {"mean_rank": [1.0, 2.0, 3.0], "normalised": [0.1, 0.2, 0.3]},
        }
        for at, name in enumerate(names)
    }
    differences = [
        {**pair, "curve": which}
        for which in ("before", "all")
        for pair in pairs(names, lambda at: {"mean_rank": interval(1.5 - at, 0.6), "normalised": NONE})
    ]
    return {
        "candidates": candidates,
        "n_cases": 4321,
        "n_sessions": 987,
        "min_cases": 80,
        "excluded": {"one_candidate": 12, HOSTILE: 3},
        "mean_candidates": 18.4,
        "before": {"n_cases": 3000, "n_sessions": 700, "mean_candidates": 17.2},
        "all": {"n_cases": 4321, "n_sessions": 987, "mean_candidates": 18.4},
        "n_known_by_all": 2888,
        "lines": lines,
        "differences": differences,
        "insufficient": None,
    }


def long_term_figures():
    def figures(recall, back_off=None):
        metrics = ("recall", "mrr", "ndcg", "type_accuracy", "type_mrr")
        cuts = {
            "by_history": {"0": 40, "1": 100, "2+": 60},
            "by_market": {HOSTILE: 150, "Town": 50},
            "by_repeat": {"repeat": 20, "new": 180},
        }
        users = {"n_users": 30, "n_typed_users": 30}
        return {
            **{name: interval(recall) for name in metrics},
            **{
                cut: {
                    part: {"n": n, "n_typed": n, **users, **{name: interval(recall) for name in metrics}}
                    for part, n in parts.items()
                }
                for cut, parts in cuts.items()
            },
            "n_unseen_targets": 4,
            "n_unseen_histories": 3,
            "n_empty_answers": 0,
            "back_off": back_off,
            "n_seeds": 1,
        }

    scorers = {
        "type_transitions": {**figures(21.0, {"n": 46, "share": 0.23}), "n_empty_answers": 598},
        "market_popularity": figures(20.0),
        HOSTILE: figures(15.0),
    }
    metrics = ("recall", "mrr", "type_accuracy")
    return {
        "k": 20,
        "attribute": "listing_type",
        "n_cases": 200,
        "n_users": 150,
        "n_typed": 190,
        "n_typed_users": 140,
        "excluded": {"market_unknown": 2, "type_unknown": 10},
        "mean_candidates": 120.0,
        "chance_recall": 41.5,
        "support": [
            {"type": HOSTILE, "n_listings": 30, "n_targets": 150},
            {"type": "house", "n_listings": 50, "n_targets": 50},
        ],
        "scorers": scorers,
        "differences": pairs(
            scorers,
            lambda at: {
                **{name: interval(1.0 - at, 3.0) for name in metrics},
                "by_history": {
                    length: {name: interval(value) for name in metrics}
                    for length, value in (("0", -5.0), ("1", 0.5), ("2+", 3.0 - at))
                },
            },
        ),
        "insufficient": None,
    }


class Page(HTMLParser):
    """Collects text, tags and ids, section by section."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.sections, self.at = [], [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        if tag == "section":
            self.at = dict(attrs)["id"]

    def handle_data(self, data):
        self.sections[self.at] = self.sections.get(self.at, "") + data

    def said(self, section):
        """Return the words of a section, without the page's line breaks."""
        return " ".join(self.sections[section].split())


def rows(text, section):
    """Return the cells of every row of a section's tables as plain text."""
    part = text.replace("<wbr>", "").split(f'<section id="{section}">')[1].split("</section>")[0]
    return [
        [" ".join(re.sub("<.*?>", " ", cell).split()) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)]
        for row in re.findall(r"<tr.*?</tr>", part, re.S)
    ]


def written(tmp_path, **parts):
    json_path, html_path = write_report(tmp_path, ReportPayload(title="t", **parts))
    text = html_path.read_text(encoding="utf-8")
    return json.loads(json_path.read_text(encoding="utf-8")), text, Page(text)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return written(
        tmp_path_factory.mktemp("report"),
        next_item=Result(next_item_figures()),
        booked_rank=[Result(booked_rank_figures()), Result(booked_rank_figures("market"))],
        long_term=Result(long_term_figures()),
    )


def test_the_figures_are_in_the_json_as_they_were(full):
    found = full[0]
    assert found["format"] == 3
    assert found["next_item"] == next_item_figures()
    assert {**found["booked_rank"][0], "chance": 0} == {**booked_rank_figures(), "chance": 0}
    assert {**found["long_term"], "commonest": 0} == {**long_term_figures(), "commonest": 0}


def test_every_metric_stands_with_its_interval_and_beside_chance(full):
    table = rows(full[1], "next-item")
    assert table[0][:6] == ["scorer", "Recall@20, %", "", "NDCG@20, %", "", "MRR@20, %"]
    assert table[0][6:] == ["", "Recall of known targets, %"]
    assert table[1][:6] == ["item2vec", "40.0 [39.0, 41.0]", "", "20.0 [19.0, 21.0]", "", "13.3 [12.3, 14.3]"]
    chance = next(row for row in table if row[0] == "by chance")
    assert (chance[1], chance[3], chance[5]) == (
        "1.98",
        "0.70",
        "0.36",
    )  # 20 of 1,000 items, 990 of 1,000 targets
    assert "1,000 items would reach; the 10 targets that no scorer knows are misses" in full[2].said(
        "next-item"
    )
    assert "HR equals Recall and MAP equals MRR" in full[2].said("next-item")


def test_several_relevant_items_have_columns_of_their_own(tmp_path):
    _, text, page = written(tmp_path, next_item=Result(next_item_figures("rest")))
    table = rows(text, "next-item")
    assert table[0][-3:] == ["HR@20, %", "MAP@20, %", "Recall of known targets, %"]
    assert table[1][-3:-1] == ["40.0 [39.0, 41.0]", "13.3 [12.3, 14.3]"]
    assert "by chance" not in page.said("next-item")
    assert "equals" not in page.said("next-item")


def test_what_the_lists_are_like_and_the_spread_over_seeds(full):
    table = rows(full[1], "next-item")
    header = next(row for row in table if "novelty, bits" in row)
    like = table[table.index(header) + 1]
    assert like[1:3] == ["55.5", "0.456"]
    assert like[-1] == "35 [30, 40]"  # a lift of 0.35 in %
    seeds = table[table.index(next(row for row in table if row[1:2] == ["seeds"])) + 1]
    assert seeds[:4] == ["item2vec", "3", "40.00 · 41.00 · 42.00", "2.00"]


def test_kinds_of_cases_are_explained_and_small_ones_are_not_drawn(full):
    said = full[2].said("next-item")
    for name in SLICES:
        assert f"{name.replace('_', ' ')}: " in said
    assert "cold: the target has fewer than 5 training clicks, or none" in said
    header = next(row for row in rows(full[1], "next-item") if "cold n = 12" in row)
    assert header[1] == "head n = 300"
    svg = slice_plot(next_item_figures()["scorers"], 20, ["head", "cold"]).svg
    assert "n=12<" in svg
    drawn = draw(ReportPayload(title="t"), {"next_item": next_item_figures(), "booked_rank": []})
    assert "n=12<" not in drawn["slices"].svg


def few(figures, name):
    """Say that a part comes from one session (or user) fewer than it takes."""
    return {**figures, name: FEWEST_CLUSTERS - 1}


def test_too_few_sessions_are_given_no_interval_and_no_reading(tmp_path):
    found, text, page = written(tmp_path, next_item=Result(few(next_item_figures(), "n_sessions")))
    verdict = found["verdict"]["recall"]
    assert (verdict["reading"], verdict["difference"]["low"]) == ("insufficient data", 8.0)
    assert "not compared with its best baseline" in page.said("next-item")
    assert "insufficient data+10.00 points;" in page.said(None).replace("; ", ";")
    assert "95 %: " not in page.said(None)
    table = rows(text, "next-item")
    assert table[1][1] == "40.0"
    pair = next(row for row in table if row[0] == "item2vec − popularity")
    assert pair[1:] == ["+1.00", "insufficient data"] * 3
    like = table[table.index(next(row for row in table if "novelty, bits" in row)) + 1]
    assert like[3:] == ["0.900", "9.50", "40.0", "35"]


def test_a_kind_of_few_sessions_has_no_interval(full):
    table = rows(full[1], "next-item")
    header = next(row for row in table if "cold n = 12" in row)
    line = dict(zip(header, table[table.index(header) + 1], strict=True))
    assert (line["cold n = 12"], line["head n = 300"]) == ("40.0", "40.0 [39.0, 41.0]")
    one = next_item_figures()
    for scorer in one["scorers"].values():
        scorer["slices"]["head"]["n_sessions"] = scorer["by_position"][0]["n_sessions"] = 29
    drawn = draw(ReportPayload(title="t"), {"next_item": one, "booked_rank": []})
    assert "n=300<" not in drawn["slices"].svg
    assert "n=301<" in drawn["slices"].svg
    assert "n=995<" not in drawn["positions"].svg
    assert "n=890<" in drawn["positions"].svg


def test_too_few_users_are_given_no_interval_and_no_reading(tmp_path):
    found = few(long_term_figures(), "n_typed_users")
    for scorer in found["scorers"].values():
        scorer["by_history"]["0"] = few(scorer["by_history"]["0"], "n_users")
        scorer["by_history"]["1"] = few(scorer["by_history"]["1"], "n_typed_users")
    _, text, _ = written(tmp_path, long_term=Result(found))
    table = rows(text, "long-term")
    assert table[1][1:6] == ["21.0 [20.0, 22.0]"] * 3 + ["21.0"] * 2
    pair = [row for row in table if row[0] == "type transitions − market popularity"]
    assert pair[0][2::2] == ["not told apart", "not told apart", "insufficient data"]
    assert pair[1][1:4] == ["−5.00", "insufficient data", "+0.50 [−0.50, +1.50]"]
    recall, types, mrr = (row[1:] for row in table if row[0] == "type transitions" and len(row) == 4)
    told = "21.0 [20.0, 22.0]"
    assert (recall, types, mrr) == (["21.0", told, told], [told, "21.0", told], ["21.0", told, told])


@pytest.mark.parametrize("curve", ["before", "all"])
def test_nothing_is_read_out_of_insufficient_booked_ranks(curve, tmp_path):
    found = booked_rank_figures()
    _, text, _ = written(tmp_path, booked_rank=[Result({**found, "insufficient": "insufficient data: 3"})])
    readings_said = [row[2] for row in rows(text, "booked-rank") if " − " in row[0]]
    assert set(readings_said) == {"insufficient data"}
    found[curve] = few(found[curve], "n_sessions")
    _, text, _ = written(tmp_path, booked_rank=[Result(found)])
    told = [row[1:3] for row in rows(text, "booked-rank") if row[0] == "production order − popularity"]
    good = ["+1.50 [+0.90, +2.10]", "worse"]
    none = ["+1.50", "insufficient data"]
    assert told == ([none, good] if curve == "before" else [good, none])


def test_geography_does_not_claim_that_no_place_is_told(tmp_path):
    places = {"insufficient": None, "n_items": 400, "n_clusters": 8, "market_purity": 0.9}
    places |= {"chance_purity": 0.2, "median_km": 1.0, "chance_km": 9.0}
    table = {"labels": [], "cosine": [], "n_items": [], "n_pairs": 0, "insufficient": "none"}
    probed = {"listing_type": table, "price_band": table, "insufficient": "none", "geography": places}
    _, _, page = written(tmp_path, probe=Result({**probed, "same_market": None}))
    said = page.said("embedding")
    assert "clicks alone" not in said
    assert "told no place" not in said
    assert "no coordinates; market negatives, where they are used, tell it which items share a market" in said


def test_figures_about_training_are_left_out_without_it(tmp_path):
    _, text, page = written(tmp_path, next_item=Result(next_item_figures(train=False)))
    assert "kind of case" not in page.said("next-item")
    table = rows(text, "next-item")
    like = table[table.index(next(row for row in table if "novelty, bits" in row)) + 1]
    assert like == ["item2vec", "55.5", "0.456", "–", "–", "–", "–"]


def test_a_reading_of_ranks_is_the_other_way_round(full):
    table = rows(full[1], "booked-rank")
    first = next(row for row in table if row[0] == "production order − popularity")
    assert first[1:] == ["+1.50 [+0.90, +2.10]", "worse", "–", "insufficient data"]
    later = next(row for row in table if row[0] == "production order − eq. 3")
    assert later[2] == "not told apart"  # 0.5 ± 0.6
    assert next(row for row in table if row[0] == "production order − eq. 4")[2] == "not told apart"
    assert next(row for row in table if row[0] == "production order − eq. 5")[2] == "better"


def test_the_curve_says_how_to_read_it(full):
    said = full[2].said("booked-rank")
    assert "Lower is better: 1 is the top, about 9.1 is what chance gives" in said
    assert "3,000 cases of 700 sessions, 17.2 candidates on average; with those after a click" in said
    assert "4,321 cases of 987 sessions. Intervals" in said
    table = rows(full[1], "booked-rank")
    chances = [row[1] for row in table if row[0] == "by chance"]
    assert chances == ["9.10", "9.70"] * 2  # before the first click, every case; in a search, in a market
    known = next(row for row in table if row[0] == "popularity" and row[1:4] == ["1", "2", "3"])
    assert known[4:] == ["4", "2,900", "7.25 [6.95, 7.55]"]
    unknown = next(row for row in table if row[0] == "production order" and row[1:4] == ["1", "2", "3"])
    assert unknown[5:] == ["–", "–"]
    assert "2,888 cases are known to every line of the last click" in said
    assert "a position with fewer than 80 cases has no point" in said
    assert said.count("Before the first click on the booked listing, in the lists of real searches") == 1
    assert said.count("Before the first click on the booked listing, among all items of its market") == 1
    assert "12 one candidate" in said
    chance = full[0]["booked_rank"][0]["chance"]
    assert chance["all"] == {"mean_rank": 9.7, "normalised": 0.5}
    assert (chance["mean_rank"], chance["normalised"]) == (9.1, 0.5)
    assert chance["before"] == {"mean_rank": 9.1, "normalised": 0.5}
    assert "3.0lower is better; eq. 5, pooled, the best line; production order 9.0; chance 9.1" in (
        full[2].said(None)
    )


def test_the_card_does_not_praise_what_production_beats_nor_what_is_insufficient(tmp_path):
    found = booked_rank_figures()
    found["lines"]["production order"]["before"]["mean_rank"] = interval(2.5)
    _, _, page = written(tmp_path, booked_rank=[Result(found)])
    assert "3.0lower is better; eq. 5, pooled, behind production order 2.5; chance 9.1" in page.said(None)
    del found["lines"]["production order"]
    _, _, page = written(tmp_path, booked_rank=[Result(found)])
    assert "3.0lower is better; eq. 5, pooled, the best line; chance 9.1" in page.said(None)
    _, _, page = written(tmp_path, booked_rank=[Result({**found, "insufficient": "insufficient data: 3"})])
    assert "Mean rank of the booked listing, before its first click" not in page.said(None)
    assert "Insufficient data: 3." in page.said("booked-rank")


def test_the_axis_runs_from_the_first_click_to_the_last(full):
    plot = booked_rank_plot(booked_rank_figures()["lines"], "before", "name")
    placed = re.findall(r"<text[^>]*translate\(([\d.]+) [\d.]+\)[^>]*>([^<>]+)</text>", plot.svg)
    labels = [label for _, label in placed]
    across = {label: float(x) for x, label in placed}
    assert across["12"] < across["2"] < across["last click"]
    assert labels[labels.index("12") + 1] == "83"  # the cases at position 12
    assert "13" not in labels  # no position from there on has a point
    sparse = booked_rank_plot(booked_rank_figures(scarce=2)["lines"], "before", "name").svg
    assert re.findall(r">(\d+)</text>", sparse)[:2] == ["8", "125"]  # too few for a point, yet said
    assert [name for name, _ in plot.legend][:2] == ["production order", "popularity"]
    assert plot.legend[0][1] not in [colour for _, colour in plot.legend[1:]]


def test_a_position_in_between_with_few_cases_breaks_the_line():
    def markers(found):
        plot = booked_rank_plot({"eq. 3": found}, "before", "name")
        return len(re.findall(r"<use ", plot.svg))

    whole, broken = ({"before": curve(5.0, 0.1, 9)} for _ in range(2))
    point = next(p for p in broken["before"]["by_position"] if p["position"] == 4)
    point["mean_rank"] = None
    assert markers(whole) - markers(broken) == 1  # its dot; the tick stays


def test_no_position_with_enough_cases_is_no_curve(tmp_path):
    found = booked_rank_figures(scarce=0)
    _, text, page = written(tmp_path, booked_rank=[Result(found)])
    assert "No position has 80 cases, so there is no curve." in page.said("booked-rank")
    assert text.count("<svg") == 1  # every case still has one


def test_long_term_figures_say_what_a_naive_guess_reaches(full):
    said = full[2].said("long-term")
    assert f"Always guessing {HOSTILE}, the most frequent type of these bookings (known only" in said
    assert "would be right in 75.0 % of the cases that count for types." in said
    assert "a list of 20 drawn at random would hold the right listing in 41.5 %." in said
    assert "200 bookings of 150 users, 120.0 candidates on average" in said
    table = rows(full[1], "long-term")
    assert table[0][-4:] == ["unseen targets", "no answer", "rare type, %", "seeds"]
    assert [row[-3] for row in table[1:4]] == ["598", "0", "0"]
    assert "Each counts as a miss" in said
    assert table[1][-2] == "23.0"
    assert table[2][-2] == ""
    assert "Left out: 2 market unknown. 190 of them count for the figures of the type" in said
    history = next(row for row in table if row[0] == "scorer" and "2+ earlier n = 60" in row)
    assert history[1:] == ["0 earlier n = 40", "1 earlier n = 100", "2+ earlier n = 60"]


def test_a_scorer_without_answers_is_compared_where_there_is_a_history(full):
    """Worse over all, and worse only where there was nothing to answer from."""
    table = rows(full[1], "long-term")
    header = next(row for row in table if row[:2] == ["pair", "0 earlier n = 40"])
    first, second = table[table.index(header) + 1 :][:2]
    assert first[0] == "type transitions − market popularity"
    assert first[2::2] == ["worse", "not told apart", "better"]
    assert second[5] == "+2.00 [+1.00, +3.00]"


def test_scorers_are_named_in_words_everywhere(full):
    for section in ("next-item", "booked-rank", "long-term"):
        assert "_" not in full[2].said(section).replace(HOSTILE, "")


@pytest.mark.parametrize(
    ("kind", "part", "says"),
    [
        ("click", "long-term", 'this run cut click sessions. A run with sessions.kind = "booking" has this'),
        ("booking", "booked-rank", 'this run cut booking sequences. A run with sessions.kind = "click" has'),
        ("click", "booked-rank", "no test session has a booked item, or the log has neither impressions"),
    ],
)
def test_a_protocol_that_the_sessions_do_not_allow_says_so(part, kind, says, tmp_path):
    _, _, page = written(tmp_path, config={"sessions": {"kind": kind}})
    assert says in page.said(part)
    assert "was not part" not in page.said(part)


@pytest.mark.parametrize("part", ["booked-rank", "long-term"])
def test_too_little_data_is_said(part, tmp_path):
    empty = {"n_cases": 0, "mean_candidates": None, "excluded": {}, "insufficient": f"no booking, {HOSTILE}"}
    if part == "booked-rank":
        lines = {}
        found = {**booked_rank_figures(), **empty, "n_sessions": 0, "lines": lines, "differences": []}
        none = {"n_cases": 0, "n_sessions": 0, "mean_candidates": None}
        found |= {"before": none, "all": none}
        _, text, page = written(tmp_path, booked_rank=[Result(found)])
    else:
        found = {
            **long_term_figures(),
            **empty,
            "n_users": 0,
            "support": [],
            "scorers": {},
            "differences": [],
        }
        _, text, page = written(tmp_path, long_term=Result(found))
    assert f"No booking, {HOSTILE}." in page.said(part)
    assert "<table" not in text.split(f'id="{part}"')[1].split("</section>")[0]


def test_a_real_booked_rank_fits_the_page(tmp_path):
    rng = np.random.default_rng(0)
    markets = dict.fromkeys(range(0, 40, 2), "b")
    lists = [(2 * rng.integers(0, 20, 6)).tolist() for _ in range(60)]
    booked = [[int(2 * rng.integers(0, 20))] for _ in lists]
    train = Sessions.from_lists(lists, markets=markets)
    test = Sessions.from_lists(lists, booked=booked, markets=markets)
    result = booked_rank({"popularity": Popularity().fit(train)}, test, min_cases=10, n_bootstrap=50)
    found, text, page = written(tmp_path, booked_rank=[result])
    rank = found["booked_rank"][0]["lines"]["popularity"]["before"]["mean_rank"]
    row = next(row for row in rows(text, "booked-rank") if row[0] == "popularity")
    assert row[1] == f"{rank['value']:.2f} [{rank['low']:.2f}, {rank['high']:.2f}]"
    mean = found["booked_rank"][0]["before"]["mean_candidates"]
    assert f"{mean:.1f} candidates on average" in page.said("booked-rank")
    assert text.count("<svg") >= 2  # before the first click, and every case
    assert readings.PRODUCTION == booked_ranking.PRODUCTION


def test_a_real_long_term_result_fits_the_page(tmp_path):
    rng = np.random.default_rng(0)
    items = pa.table(
        {
            "item_id": list(range(60)),
            "market": [f"m{i % 2}" for i in range(60)],
            "listing_type": [HOSTILE if i % 3 else "house" for i in range(60)],
        }
    )
    lists = [rng.integers(0, 60, 3).tolist() for _ in range(120)]
    train, test = (stays(part, items, day) for part, day in ((lists[:80], 0), (lists[80:], 1_000)))
    scorers = {
        "types": fit_long_term_baselines(train)["type_transitions"],
        "popularity": Popularity().fit(train),
    }
    result = evaluate_long_term(scorers, test, items, train=train, n_bootstrap=50)
    found, text, page = written(tmp_path, long_term=result)
    figures = found["long_term"]["scorers"]["types"]
    assert figures["n_seeds"] == 1
    row = next(row for row in rows(text, "long-term") if row[0] == "types")
    assert row[1].startswith(f"{figures['recall']['value']:.1f} [")
    assert row[-2] == f"{100 * figures['back_off']['share']:.1f}"
    assert HOSTILE in page.said("long-term")


def stays(lists, items, day):
    """Make booking sequences, a stay a day."""
    sessions = Sessions.from_lists(lists, items=items)
    ts = day + np.concatenate([np.arange(len(one)) for one in lists]).astype(np.int64)
    users = pa.array([f"{day} {user}" for user in range(len(lists))])
    starts, ends = ts[sessions.offsets[:-1]], ts[sessions.offsets[1:] - 1]
    return replace(sessions, kind="booking", ts_us=ts, start_us=starts, end_us=ends, user_ids=users)


def test_hostile_names_are_shown_and_never_run(full):
    page = full[2]
    assert "script" not in page.tags
    for section in ("next-item", "booked-rank", "long-term"):
        assert HOSTILE in page.said(section)


def test_the_plots_take_the_ink_and_the_letters_of_the_page(full):
    assert "font-family: " not in full[1].split("</style>")[1]
    assert "currentColor" in full[1]
    assert "#010203" not in full[1]


def test_names_inside_the_page_are_unique(full):
    assert len(full[2].ids) == len(set(full[2].ids))
    assert full[1].count("<svg") == 3 + 2 * 3  # ranks, positions, kinds; per candidates before, pooled, all


def test_positions_with_few_cases_are_hidden():
    svg = position_plot(next_item_figures()["scorers"], 20).svg
    assert "n=155<" in svg
    assert "n=50<" not in svg
