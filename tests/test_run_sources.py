"""The files whose content names the events are the files that are read, whatever the path says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from item2vec.artifacts import RunFolder
from item2vec.config import RunConfig
from item2vec.events import EventsConfig, read_events
from item2vec.events.files import TextStream
from item2vec.events.importers import load_importer
from item2vec.events.read import source_files
from item2vec.run import run_pipeline
from item2vec.run.pipeline import plan_stages


def write_download(folder: Path, first: int) -> Path:
    """Write a small download of reviews: a log, an item table, something else, and an old folder."""
    folder.mkdir()
    reviews = "".join(
        f"u{n % 3},2024-01-{n % 28 + 1:02d},{n},{n % 4},paris\n" for n in range(first, first + 12)
    )
    (folder / "reviews.csv").write_text("reviewer_id,date,review_id,listing_id,market\n" + reviews)
    items = "".join(f"{n},flat,2\n" for n in range(4))
    (folder / "listings.csv").write_text("id,room_type,accommodates\n" + items)
    (folder / "extra.csv").write_text("anything\n1\n")
    (folder / "reviews_old").mkdir()
    (folder / "reviews_old" / "reviews.csv").write_text("not,a,log\n")
    return folder


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """Two downloads in one folder, ``A`` and ``B[2]``."""
    write_download(tmp_path / "A", 0)
    write_download(tmp_path / "B[2]", 100)
    return tmp_path


LOG, ITEMS = "reviews.csv", "listings.csv"
PATHS: dict[str, tuple[Callable[[Path], dict[str, Any]], list[str]]] = {
    "a folder": (lambda at: {"path": at / "A"}, [f"A/{LOG}", f"A/{ITEMS}"]),
    "a list of one": (lambda at: {"path": [str(at / "A")]}, [f"A/{LOG}", f"A/{ITEMS}"]),
    "two folders": (
        lambda at: {"path": [at / "A", at / "B[2]"]},
        [f"A/{LOG}", f"B[2]/{LOG}", f"A/{ITEMS}", f"B[2]/{ITEMS}"],
    ),
    "a folder and a file": (
        lambda at: {"path": [at / "A", at / "B[2]" / LOG]},
        [f"A/{LOG}", f"B[2]/{LOG}", f"A/{ITEMS}"],
    ),
    "a file": (lambda at: {"path": at / "A" / LOG}, [f"A/{LOG}"]),
    "a glob": (lambda at: {"path": f"{at}/A/rev*.csv"}, [f"A/{LOG}"]),
    "items elsewhere": (
        lambda at: {"path": at / "A", "items": {"path": at / "B[2]" / ITEMS}},
        [f"A/{LOG}", f"B[2]/{ITEMS}"],
    ),
}


@pytest.mark.parametrize("case", PATHS)
def test_the_listed_files_are_the_ones_that_are_read(
    downloads: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, wanted = PATHS[case]
    config = EventsConfig(importer="airbnb_reviews", **given(downloads))
    listed = [str(path.relative_to(downloads)) for path in source_files(config)]
    assert listed == wanted
    opened = []
    start = TextStream.__init__

    def noting(stream: TextStream, file: str) -> None:
        opened.append(str(Path(file).relative_to(downloads)))
        start(stream, file)

    monkeypatch.setattr(TextStream, "__init__", noting)
    assert len(read_events(config=config)) in (12, 24)
    assert opened == wanted


def run_on(downloads: Path, paths: list[Path]) -> dict[str, str]:
    """Run up to the events; return what happened to the stage, by stage."""
    sections = {
        "run": {"name": "reviews"},
        "events": {"path": [str(path) for path in paths], "importer": "airbnb_reviews"},
    }
    states: dict[str, str] = {}
    run_pipeline(
        RunConfig.from_sections(sections),
        downloads / "runs",
        until="events",
        notify=lambda event: states.update({event.stage: event.state}),
    )
    return states


@pytest.mark.parametrize("name", [LOG, ITEMS])
@pytest.mark.parametrize("folder", ["A", "B[2]"])
def test_a_changed_file_is_read_again_and_no_other_one(downloads: Path, folder: str, name: str) -> None:
    both = [downloads / "A", downloads / "B[2]"]
    assert run_on(downloads, both) == {"events": "done"}
    (downloads / folder / "extra.csv").write_text("something\nelse\n")
    assert run_on(downloads, both) == {"events": "skipped"}
    table = downloads / folder / name
    table.write_text(table.read_text() + ("u9,2024-02-01,999,1,paris\n" if name == LOG else "77,flat,3\n"))
    assert run_on(downloads, both) == {"events": "done"}


def test_every_file_of_a_plain_folder_counts(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text(f"user_id,ts,event_type,item_id\nu1,1600000000,click,{name}\n")
    (folder / "_SUCCESS").touch()
    assert source_files(EventsConfig(path=folder)) == [folder / "a.csv", folder / "b.csv"]


def test_an_edited_importer_is_another_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def key_settings(importer: str | None) -> Any:
        sections = {"run": {"name": "a"}, "events": {"path": "log.csv"}}
        if importer:
            sections["events"]["importer"] = importer
        return plan_stages(RunConfig.from_sections(sections), RunFolder(tmp_path))[0].config

    plain, before = key_settings(None), key_settings("trivago")
    assert key_settings("trivago") == before
    edited = dataclasses.replace(load_importer("trivago"), items=None)
    monkeypatch.setattr("item2vec.events.importers.load_importer", lambda _name: edited)
    assert key_settings("trivago") != before
    assert key_settings(None) == plain
