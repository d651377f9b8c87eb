"""What the commands print: one line per stage, the summary of a run, the table of ``show``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from item2vec.artifacts import Release, StageEvent
    from item2vec.run import RunResult

_NAME_WIDTH = 16

# The figures worth a place on a stage's one line, in this order.
TELLING = {
    "simulate": ("n_users", "n_listings", "n_markets", "days"),
    "events": ("rows_in", "events", "quarantined", "duplicate", "ignored", "items"),
    "sessions": ("sessions", "tokens", "items", "items_with_attributes", "booked", "markets"),
    "embeddings": ("items", "vector_size", "epochs", "loss"),
    "types": ("types", "rare_user_types", "rare_listing_types", "rejections"),
    "index": ("recall@10_similar", "recall@10_next"),
    "recommendations": ("rows", "items", "short_lists", "users", "user_rows"),
    "holdout": ("trainings", "items", "vector_size", "epochs", "loss"),
    "evaluation": ("prefixes", "sessions"),
}
# Losses among attributes and bookings: told wherever there are any.
LOSSES = ("refused_", "unreadable_", "booked_unknown")


def say(text: str = "", *, dim: bool = False) -> None:
    """Print a line."""
    typer.secho(text, dim=dim or None)


class StagePrinter:
    """Print one line per finished stage."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet

    def __call__(self, event: StageEvent) -> None:
        """Print what happened to a stage."""
        if self.quiet or event.state == "started":
            return
        if event.state == "skipped":
            say(f"{event.stage:<{_NAME_WIDTH}} skipped (already done)", dim=True)
        else:
            figures = brief(event.stage, event.figures)
            say(f"{event.stage:<{_NAME_WIDTH}} {event.seconds:6.1f} s   {figures}")


def brief(stage: str, figures: Mapping[str, Any]) -> str:
    """Return a stage's most telling figures on one line."""
    if "insufficient_data" in figures:
        return f"insufficient data: {figures['insufficient_data']}"
    chosen = [name for name in TELLING.get(stage, ()) if name in figures] or sorted(figures)
    chosen += [name for name in sorted(figures) if name.startswith(LOSSES) and figures[name]]
    return " · ".join(f"{name.replace('_', ' ')} {number(figures[name])}" for name in chosen)


def number(value: Any) -> str:
    """Write a figure for people: thousands separated, four digits after the point at most."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def places(release: Release) -> dict[str, Path]:
    """Return where the products of a release are that people and jobs look for."""
    evaluation = release.object_path("evaluation")
    tables = release.object_path("recommendations")
    users = {"recommendations": tables / "users"} if (tables / "users").is_dir() else {}
    return {
        "report": evaluation / "report.html",
        "figures": evaluation / "report.json",
        "similar items": tables / "similar_items",
        **users,
        "vectors": release.object_path("embeddings") / "vectors",
        "refused rows": release.object_path("events") / "quarantine",
        "release": release.path,
    }


def headline(figures: Mapping[str, Any]) -> Iterator[str]:
    """Write the next-item figures as lines of a table."""
    scorers = figures.get("next_item", {})
    if not scorers:
        yield figures.get("insufficient_data", "no next-item figures")
        return
    if reason := figures.get("next_item_insufficient"):
        yield f"next item: no case; {reason}"
        return
    k = figures["k"]
    yield f"{'next item, test sessions':<26} {f'Recall@{k}':>24} {f'MRR@{k}':>24}"
    for name, found in scorers.items():
        texts = (interval_text(found[metric]) for metric in ("recall", "mrr"))
        yield f"{name.replace('_', ' '):<26}" + "".join(f" {text:>24}" for text in texts)
    yield f"{figures['prefixes']:,} prefixes of {figures['sessions']:,} sessions, % with 95 % intervals"
    if 0 < figures["prefixes"] == figures.get("unseen_targets"):
        yield "no prefix can be a hit: every one is followed by an item that the sessions before T1 never saw"


def booked_lines(figures: Mapping[str, Any]) -> Iterator[str]:
    """Write where the booked listing would have stood before its first click, a column per kind of list."""
    results = figures.get("booked_rank", [])
    if not results:
        return
    heads = (f"in its {found['candidates']}, mean rank" for found in results)
    yield f"{'booked, before its click':<26}" + "".join(f" {head:>24}" for head in heads)
    for name in dict.fromkeys(name for found in results for name in found["lines"]):
        texts = (_rank_text(found, found["lines"].get(name)) for found in results)
        yield f"{name.replace('_', ' '):<26}" + "".join(f" {text:>24}" for text in texts)
    texts = (_rank_text(found, _chance(found)) for found in results)
    yield f"{'by chance':<26}" + "".join(f" {text:>24}" for text in texts)
    for found in results:
        reason, n, size = found["insufficient"], found["cases"], found["mean_candidates"]
        words = reason or f"{n:,} cases, {size:,.1f} candidates on average, lower is better"
        yield f"in its {found['candidates']}: {words}"


def long_term_lines(figures: Mapping[str, Any]) -> Iterator[str]:
    """Write how well the next booking was foretold, a line per scorer, and where one gave no answer."""
    found = figures.get("long_term")
    if not found:
        return
    if found["insufficient"]:
        yield f"long term: {found['insufficient']}"
        return
    heads = f"{'Recall@' + str(found['k']):>24} {'right type first':>24}"
    yield f"{'next booking, its market':<26} {heads} {'no answer':>10}"
    for name, scorer in found["scorers"].items():
        texts = (interval_text(scorer[metric]) for metric in ("recall", "type_accuracy"))
        columns = "".join(f" {text:>24}" for text in texts)
        yield f"{name.replace('_', ' '):<26}{columns} {scorer['n_empty_answers']:>10,}"
    yield f"{found['n_cases']:,} bookings of {found['n_users']:,} users, % with 95 % intervals over users"
    if any(scorer["n_empty_answers"] for scorer in found["scorers"].values()):
        yield "no answer: cases, each a miss; the report compares the scorers where there is a history"


def interval_text(found: Mapping[str, Any] | None, sign: str = "-") -> str:
    """Write a figure with its interval; `sign` is Python's: "+" shows one before positive figures too."""
    if found is None:
        return "–"
    if found["value"] is None:
        return "no case"
    if found["low"] is None:
        return f"{found['value']:{sign}.2f}"
    return f"{found['value']:{sign}.2f} [{found['low']:{sign}.2f}, {found['high']:{sign}.2f}]"


def _rank_text(found: Mapping[str, Any], rank: Mapping[str, Any] | None) -> str:
    """Write a mean rank, or that its cases say too little."""
    return interval_text(rank) if rank is None or not found["insufficient"] else "insufficient"


def _chance(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the mean rank in shuffled lists."""
    size = found["mean_candidates"]
    return None if size is None else {"value": (size + 1) / 2, "low": None}


def print_places(named: Mapping[str, Path]) -> None:
    """Print names and paths, one pair a line."""
    for name, path in named.items():
        say(f"{name:<{_NAME_WIDTH}} {path}")


def print_objects(result: RunResult) -> None:
    """Print where the last stage of an unfinished run lies."""
    *_, last = result.objects.values()
    say()
    print_places({last.stage: last.path})


def print_summary(release: Release, *, every_check: bool = False) -> None:
    """Print what a finished run is good for."""
    from item2vec.cli.releases import gate_lines

    say()
    evaluated = release.figures["evaluation"]
    for block in (headline(evaluated), booked_lines(evaluated), long_term_lines(evaluated)):
        if lines := list(block):
            say("\n".join(lines))
            say()
    for line in gate_lines(release.gate, every=every_check):
        say(line)
    say()
    print_places(places(release))
    say(f'{"in Python":<{_NAME_WIDTH}} item2vec.load("{release.folder.path}")')


def print_release(release: Release, *, verify: bool, as_json: bool) -> None:
    """Print a release: its stages and figures and where its files are.

    Raises
    ------
    CorruptArtifactError
        With `verify`, if any file of the release is not what it was.
    """
    if verify:
        for stage in release.stages:
            release.open(stage)
    if as_json:
        document = {
            "run": release.folder.path.name,
            "release": release.id,
            "verified": verify,
            "objects": {stage: str(release.object_path(stage)) for stage in release.stages},
            "paths": {name: str(path) for name, path in places(release).items()},
            "figures": release.figures,
            "gate": dict(release.gate),
        }
        say(json.dumps(document, indent=1, ensure_ascii=False))
        return
    say(f"run {release.folder.path}, release {release.id}" + (", every file verified" if verify else ""))
    say()
    for stage in release.stages:
        object_id = release.object_path(stage).name[:12]
        say(f"{stage:<{_NAME_WIDTH}} {object_id}   {brief(stage, release.figures[stage])}".rstrip())
    print_summary(release, every_check=True)
