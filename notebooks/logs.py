"""The log a notebook shows: a simulated marketplace, the committed sample, or a public log.

`ITEM2VEC_NOTEBOOK_DATA` chooses it: `marketplace` (the default), `sample`, `google_merch`, `trivago` or
`airbnb_reviews`. The public logs are looked for in `ITEM2VEC_REAL_DATA`, else in `../shared/data` beside the
project, and are read as `pipelines/*.toml` reads them. `ITEM2VEC_NOTEBOOK=small` makes the marketplace small.
"""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import item2vec as i2v

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "sample"
SHARED = "../shared/data/"  # as the run files write it
MARKETPLACE = {"n_users": 6000, "n_listings": 800, "n_markets": 5, "days": 60, "seed": 1}
SMALL = {"n_users": 1500, "n_listings": 200, "n_markets": 3}
# Neighbourhoods have a style of their own here, so that a map of the vectors has something to show.
NEIGHBOURHOODS = {"style_geography_correlation": 0.8, "book_share": 0.7}
PUBLIC_LOGS = {  # the run file, and what the log holds
    "google_merch": ("google_merch.toml", "the Google merchandise store"),
    "trivago": ("trivago.toml", "trivago's hotel search (RecSys Challenge 2019)"),
    "airbnb_reviews": ("airbnb_reviews.toml", "stays told by reviews (Inside Airbnb)"),
}


@dataclass(frozen=True)
class Log:
    """An opened log, and the settings that its run file gives it.

    Parameters
    ----------
    name : str
    events : Events
    says : str
        One sentence for the reader: which log this is, and why, where another one was asked for.
    session_rules, training : dict
        Keywords of `sessionize` and of `Item2Vec`.
    types : str or None
        The type map, where the run file names one.
    styles : dict of item id to style
        The hidden truth of the simulated marketplace, which no stage reads; empty for any other log.
    """

    name: str
    events: Any
    says: str
    session_rules: dict[str, Any]
    training: dict[str, Any]
    types: str | None = None
    styles: dict[str, int] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Click sessions, or booking sequences where the log has no clicks."""
        return self.session_rules.get("kind", "click")

    def sessions(self, **changes: Any) -> Any:
        """Sessionize with the run file's rules, some of them changed."""
        return i2v.sessionize(self.events, **{**self.session_rules, **changes})

    def train(self, sessions: Any, **changes: Any) -> Any:
        """Train with the run file's settings; one thread, so that the same figures come out every time."""
        settings = {**self.training, "workers": 1, **({"epochs": 4} if is_small() else {}), **changes}
        return i2v.Item2Vec(**settings).fit(sessions, show_progress=False)


def is_small() -> bool:
    """Tell whether the notebook is only to be run, not to be read."""
    return os.environ.get("ITEM2VEC_NOTEBOOK") == "small"


def open_log(unfit: Collection[str] = ()) -> Log:
    """Open the chosen log; where it is missing or unfit for the notebook, the marketplace, saying so.

    Parameters
    ----------
    unfit : collection of str
        Logs that cannot show what the notebook is about.

    Raises
    ------
    ValueError
        If the choice is none.
    """
    asked = os.environ.get("ITEM2VEC_NOTEBOOK_DATA", "").strip() or "marketplace"
    choices = ["marketplace", "sample", *PUBLIC_LOGS]
    if asked not in choices:
        raise ValueError(f"ITEM2VEC_NOTEBOOK_DATA is {asked!r}; choose one of {', '.join(choices)}")
    if asked == "sample":
        return _sample()
    if asked == "marketplace":
        return _marketplace("")
    if asked in unfit:
        return _marketplace(f"**{asked} does not fit this notebook**: it has no clicks. ")
    try:
        return _public(asked)
    except i2v.errors.SourceError:
        where = "`ITEM2VEC_REAL_DATA`" if "ITEM2VEC_REAL_DATA" in os.environ else f"`{SHARED}`"
        return _marketplace(f"**{asked} is not there**: its files are not in {where}. Instead: ")


def _settings(run_file: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / "pipelines" / run_file).read_text("utf-8"))


def _marketplace(why: str) -> Log:
    settings = _settings("demo.toml")
    size = {**MARKETPLACE, **NEIGHBOURHOODS, **(SMALL if is_small() else {})}
    with tempfile.TemporaryDirectory() as folder:
        world = i2v.simulate(Path(folder) / "world", **size)
        tables = {name: {"path": world / f"{name}.parquet"} for name in ("items", "users")}
        events = i2v.read_events(world / "events", **tables)
        truth = pq.ParquetFile(world / "truth" / "styles.parquet").read()
    says = (
        f"{why}A **simulated marketplace** of {size['n_users']:,} guests and {size['n_listings']:,} listings"
        f" in {size['n_markets']} markets over {size['days']} days. No person and no listing is real."
    )
    styles = dict(zip(truth["item_id"].to_pylist(), truth["style"].to_pylist(), strict=True))
    return Log("marketplace", events, says, settings["sessions"], settings["train"], styles=styles)


def _sample() -> Log:
    settings = _settings("demo.toml")
    tables = {name: {"path": SAMPLE / f"{name}.csv"} for name in ("items", "users")}
    events = i2v.read_events(SAMPLE / "events.csv.gz", **tables)
    says = "The **committed sample**, 30 simulated guests: every rule is at work, every figure is a toy's."
    return Log("sample", events, says, settings["sessions"], settings["train"])


def _public(name: str) -> Log:
    run_file, what = PUBLIC_LOGS[name]
    settings = _settings(run_file)
    data = Path(os.environ.get("ITEM2VEC_REAL_DATA", ROOT / SHARED))
    source = settings["events"]
    items = source.get("items")
    events = i2v.read_events(
        data / source["path"].removeprefix(SHARED),
        importer=source["importer"],
        items=items and {**items, "path": data / items["path"].removeprefix(SHARED)},
    )
    types = settings.get("types", {}).get("map")
    says = f"A **public log**: {what}, read and trained on as `pipelines/{run_file}` does."
    return Log(name, events, says, settings["sessions"], settings["train"], types=types)
