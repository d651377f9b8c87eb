"""The report: strict JSON, one self-contained page, hostile text escaped, missing parts said."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from item2vec.errors import MissingDependencyError, RunError
from item2vec.evaluation import (
    EvaluateConfig,
    ReportPayload,
    evaluate_next_item,
    fit_baselines,
    probe,
    split_sessions,
    write_report,
)
from item2vec.evaluation.index_quality import IndexRecall
from item2vec.evaluation.report.report_plots import loss_terms
from item2vec.evaluation.report.write import json_value
from item2vec.sessions import Sessions

HOSTILE = [
    '<script>alert("x")</script>',
    "a & b",
    '"><img src=x onerror=alert(1)>',
    "$\\frac$",
    "_hidden",
    "東京",
    "{{ 7*7 }}",
]


class Model:
    """Stands in for the trained vectors: a few dimensions of noise per item."""

    def __init__(self, vocabulary):
        self.vocabulary = vocabulary
        self.vectors = np.random.default_rng(0).standard_normal((len(vocabulary), 6)).astype(np.float32)

    def scores(self, histories):
        return np.stack([self.vectors[h].sum(axis=0) for h in histories]) @ self.vectors.T


def full_payload():
    rng = np.random.default_rng(0)
    ids = [f"{name} {i}" for i, name in enumerate(HOSTILE * 5)]
    items = pa.table(
        {
            "item_id": ids,
            "market": [HOSTILE[i % len(HOSTILE)] for i in range(len(ids))],
            "listing_type": [HOSTILE[i % 3] for i in range(len(ids))],
            "price": rng.gamma(2.0, 40.0, len(ids)),
        }
    )
    lists = [[ids[i] for i in rng.integers(0, len(ids), rng.integers(2, 7))] for _ in range(600)]
    split = split_sessions(Sessions.from_lists(lists, items=items))
    baselines = fit_baselines(["popularity", "item_knn"], split.train)
    model = Model(baselines["popularity"].vocabulary)
    return ReportPayload(
        title='Run <i>"one"</i> & co',
        facts={"release": HOSTILE[0], "sessions": 300},
        reconciliation={
            "rows_in": 10,
            "ok": 7,
            "duplicate": 1,
            "quarantined": {HOSTILE[2]: 1},
            "ignored": {"filter": 1},
            "events": {"click": 7, "impression": 70},
            "attributes": {
                "items": {"rows_in": 12_345, "ok": 12_300, "quarantined": 45, "unreadable price": 67},
            },
        },
        funnel={
            "users": {"kept": 2, "in": 3},
            "clicks": {"kept": 6, "in": 7},
            "dropped": {HOSTILE[0]: 2},
        },
        split=split,
        next_item=evaluate_next_item(
            {"item2vec": model, **baselines}, split.test, train=split.train, n_bootstrap=50
        ),
        probe=probe(model, items),
        index=[IndexRecall("similar", 10, 0.99, 1234.5, 35, 35)],
        vectors=model,
        items=items,
        history=[
            {"epoch": e, "loss": {"window": 1.0 / e, "negative": 2.0, "booked": 0.0}} for e in (1, 2, 3)
        ],
        config={"train": {"window": 5, "path": HOSTILE[0]}},
        notes=[HOSTILE[2]],
        provenance={"item2vec": "1.2.3", "inputs": {"sessions": "0123456789abcdef" * 2}},
    )


class Page(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.ids, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    payload = full_payload()
    json_path, html_path = write_report(tmp_path_factory.mktemp("report") / "new" / "folder", payload)
    return payload, json_path, html_path


@pytest.fixture(scope="module")
def page(written):
    text = written[2].read_text(encoding="utf-8")
    parser = Page()
    parser.feed(text)
    return text, parser


def test_json_is_strict_and_complete(written):
    def refuse(name):
        raise AssertionError(name)

    payload, json_path, _ = written
    figures = json.loads(json_path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert figures["title"] == payload.title
    assert figures["next_item"]["scorers"]["item_knn"]["recall"]["low"] is not None
    assert len(figures["next_item"]["differences"]) == 3
    assert figures["split"]["counts"]["test"] == 60
    assert len(figures["similar"]["items"][0]["neighbours"]) == 5
    assert figures["config"]["train"]["window"] == 5


def test_the_verdict_stands_in_words_for_both_metrics(written, page):
    figures = json.loads(written[1].read_text(encoding="utf-8"))
    assert set(figures["verdict"]) == {"model", "recall", "mrr"}
    shown = " ".join("".join(page[1].text).split())
    for metric in ("recall", "mrr"):
        found = figures["verdict"][metric]
        best = max(
            ("popularity", "item_knn"),
            key=lambda name: figures["next_item"]["scorers"][name][metric]["value"],
        )
        assert found["baseline"] == best
        assert f"against {best.replace('_', ' ')}, the best baseline{found['reading']}" in shown
    assert "reading, Recall" in shown
    assert "reading, MRR" in shown


def test_what_the_model_cannot_know_is_said_beside_the_headline(written, tmp_path):
    train = Sessions.from_lists([["a", "b"], ["b", "c"], ["a", "c"]])
    test = Sessions.from_lists([["a", "b"], ["b", "new"], ["new", "a"]])
    result = evaluate_next_item(fit_baselines(["popularity"], train), test, k=3, n_bootstrap=100)
    json_path, html_path = write_report(tmp_path, ReportPayload(title="t", next_item=result))
    found = json.loads(json_path.read_text(encoding="utf-8"))["next_item"]["scorers"]["popularity"]
    assert found["recall"]["value"] == pytest.approx(200 / 3)
    assert found["reachable"]["n"] == 2
    assert found["reachable"]["recall"] == 100.0
    assert found["reachable"]["mrr"] == pytest.approx(found["mrr"]["value"] * 3 / 2)
    parser = Page()
    parser.feed(html_path.read_text(encoding="utf-8"))
    shown = " ".join("".join(parser.text).split())
    assert "100.0 % of the 2 cases whose target it knows" in shown
    assert "In 1 of the 3 cases (33.33 %) popularity does not know the target" in shown
    assert "In 1 cases (33.33 %) it knows no item of the history" in shown


def test_speed_is_left_out_where_it_was_not_measured(tmp_path):
    for speed, said in ((1234.5, True), (None, False)):
        payload = ReportPayload(title="t", index=[IndexRecall("similar", 10, 0.99, speed, 35, 35)])
        text = write_report(tmp_path, payload)[1].read_text(encoding="utf-8")
        assert ("queries/s" in text) is said
        assert ("queries per second" in text) is said
        assert "against exact search" in text


def test_counts_of_the_data_are_in_the_order_of_the_flow_and_complete(written, page):
    figures = json.loads(written[1].read_text(encoding="utf-8"))
    assert list(figures["funnel"]) == ["clicks", "users", "dropped"]
    assert list(figures["funnel"]["clicks"]) == ["in", "kept"]
    assert list(figures["reconciliation"]["events"]) == ["impression", "click"]
    shown = " ".join("".join(page[1].text).split())
    assert "Table of items" in shown
    assert "quarantined45" in shown.replace(" ", "")
    assert "unreadable price67" in shown


def test_the_slice_of_popularity_is_no_cosine(page):
    header, *rows = re.findall(r"<tr.*?</tr>", page[0].split('id="similar"')[1].split("</section>")[0], re.S)
    columns = [re.sub("<.*?>", "", cell) for cell in re.findall(r"<th.*?</th>", header)]
    assert columns[1] == "popularity"
    assert columns[-1] == "cosine"
    cells = [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?</td>", rows[0], re.S)]
    assert len(cells) == len(columns)
    assert (cells[1], cells[-1]) == ("head", "")
    near = [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?</td>", rows[1], re.S)]
    assert near[1] == ""
    assert float(near[-1].replace("−", "-")) <= 1


def test_the_footer_says_what_made_the_report(written, page):
    shown = "".join(page[1].text)
    assert "item2vec 1.2.3, from the objects sessions 0123456789ab." in shown
    figures = json.loads(written[1].read_text(encoding="utf-8"))
    assert figures["provenance"]["inputs"]["sessions"] == "0123456789abcdef" * 2


def test_page_is_self_contained(page):
    text, parser = page
    assert "http" not in text
    assert "script" not in parser.tags
    assert not {"link", "iframe", "object", "base", "form"} & set(parser.tags)
    for tag, name, value in parser.attributes:
        if name in ("src", "href", "xlink:href", "data", "action", "srcset"):
            assert value.startswith(("#", "data:")), (tag, name, value)
        assert not name.startswith("on")
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text
    assert text.count("<svg") == 5  # map, losses, rank curves, positions, kinds of cases


def test_names_inside_the_page_are_unique_and_links_land(page):
    _, parser = page
    assert len(parser.ids) == len(set(parser.ids))
    targets = {v[1:] for _, n, v in parser.attributes if n in ("href", "xlink:href") and v.startswith("#")}
    assert targets <= set(parser.ids)


def test_hostile_text_is_shown_and_never_run(page):
    text, parser = page
    assert "<script" not in text
    assert "onerror=alert(1)>" not in text
    shown = "".join(parser.text)
    for hostile in HOSTILE:
        assert hostile in shown
    assert 'Run <i>"one"</i> & co' in shown


def test_the_same_payload_gives_the_same_bytes(written, tmp_path):
    payload, json_path, html_path = written
    again = write_report(tmp_path, payload)
    assert again[0].read_bytes() == json_path.read_bytes()
    assert again[1].read_bytes() == html_path.read_bytes()


def test_rows_that_do_not_reconcile_are_said(tmp_path):
    account = {"rows_in": 9, "ok": 1, "duplicate": 0, "quarantined": {}, "ignored": {}, "events": {}}
    _, html_path = write_report(tmp_path, ReportPayload(title="t", reconciliation=account))
    assert "do not reconcile" in html_path.read_text(encoding="utf-8")


def test_an_empty_payload_says_what_is_missing(tmp_path):
    json_path, html_path = write_report(tmp_path, ReportPayload(title="nothing yet"))
    assert json.loads(json_path.read_text(encoding="utf-8"))["next_item"] is None
    assert html_path.read_text(encoding="utf-8").count("was not part of this run") == 10


def test_no_test_case_is_no_figure(tmp_path):
    train = Sessions.from_lists([["a", "b"], ["b", "c"]])
    result = evaluate_next_item(fit_baselines(["popularity"], train), Sessions.from_lists([["a"]]))
    json_path, html_path = write_report(tmp_path, ReportPayload(title="t", next_item=result))
    figures = json.loads(json_path.read_text(encoding="utf-8"))["next_item"]["scorers"]["popularity"]
    assert figures["recall"]["value"] is None
    assert figures["coverage"] is None
    assert "Insufficient data" in html_path.read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="cannot write the report"):
        write_report(tmp_path / "file" / "report", ReportPayload(title="t"))


@pytest.mark.parametrize("library", ["matplotlib", "jinja2"])
def test_a_missing_library_says_how_to_install_it(library, tmp_path, monkeypatch):
    for name in [m for m in sys.modules if m.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    payload = ReportPayload(title="t", history=[{"window": 1.0}])
    with pytest.raises(MissingDependencyError, match=r"pip install 'item2vec\[report\]'"):
        write_report(tmp_path, payload)


def test_losses_flat_or_nested():
    flat = [{"epoch": 1, "window": 2.0, "booked": 0.0, "learning_rate": 0.1}, {"epoch": 2, "window": 1.0}]
    assert loss_terms(flat) == [{"window": 2.0}, {"window": 1.0}]
    assert loss_terms([{"epoch": 1, "loss": {"negative": 3}}]) == [{"negative": 3.0}]
    assert loss_terms([]) == []


def test_json_values():
    assert json_value({"a": np.float32("nan"), 1: (np.int64(2), {3.0})}) == {"a": None, "1": [2, [3.0]]}
    assert json_value([np.array([1.0, np.inf]), True, None]) == [[1.0, None], True, None]


@pytest.mark.parametrize(
    "values",
    [
        {"k": 0},
        {"validation": 1.0},
        {"validation": 0.6, "test": 0.5},
        {"unknown": 1},
        {"baselines": ["best"]},
    ],
)
def test_bad_config(values):
    with pytest.raises(ValidationError):
        EvaluateConfig(**values)


def test_config_names_what_the_functions_take():
    config = EvaluateConfig(validation=0.2, test_from="2019-01-01")
    sessions = Sessions.from_lists([["a", "b"]] * 10)
    assert config.split_options()["validation"] == 0.2
    assert split_sessions(sessions, **EvaluateConfig().split_options()).counts["test"] == 1
    defaults = ("popularity", "market_popularity", "item_knn", "sequential_rules", "session_knn")
    assert EvaluateConfig().baselines == defaults
    assert list(fit_baselines(defaults, sessions)) == [n for n in defaults if n != "market_popularity"]


def test_importing_the_package_is_light():
    code = (
        "import sys, item2vec.evaluation.config, item2vec.evaluation.splits\n"
        "heavy = {'torch', 'numba', 'pandas', 'sklearn', 'matplotlib', 'jinja2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
