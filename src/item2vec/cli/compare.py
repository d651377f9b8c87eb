"""``item2vec compare``: two releases side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from item2vec.cli.options import RUNS, Debug, RunsDir, plain_errors, run_folder
from item2vec.cli.show import interval_text, say

if TYPE_CHECKING:
    from item2vec.run import Comparison

_NAME_WIDTH = 24
_WIDTH = 24
SHOWN = 3  # items whose neighbours changed; the page and the JSON have more


@plain_errors
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A run's folder or name: what was.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another run, or the same for two releases of it.")],
    runs_dir: RunsDir = RUNS,
    release_a: Annotated[
        str | None, typer.Option(metavar="RELEASE", help="Another release of A than the current one.")
    ] = None,
    release_b: Annotated[str | None, typer.Option(metavar="RELEASE", help="The same for B.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page as well.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Compare two releases: what B gains over A, and whether that may be chance.

    Next-item figures on the test cases of both, with paired intervals; coverage, booked ranks and long-term
    figures, each on its own cases; settings, items, changed neighbours.

        item2vec run pipelines/demo.toml --set train.epochs=3 --set run.name=short

        item2vec compare short demo

        item2vec compare demo demo --release-a a226beda --html demo.html
    """
    from item2vec.run import compare as compare_releases

    folders = run_folder(a, runs_dir), run_folder(b, runs_dir)
    found = compare_releases(*folders, release_a=release_a, release_b=release_b)
    print_comparison(found, html=html, as_json=as_json)


def print_comparison(found: Comparison, *, html: Path | None, as_json: bool) -> None:
    """Print a comparison, and write its page if one is wanted."""
    page = None if html is None else found.write_html(html)
    if as_json:
        say(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
        return
    tables = (*_next_item(found), *_unpaired(found))
    for line in (*_sides(found), "", *found.sentences(), "", *tables, *_settings(found), *_changed(found)):
        say(line)
    if page is not None:
        say()
        say(f"{'page':<{_NAME_WIDTH}} {page}")


def _sides(found: Comparison) -> Iterator[str]:
    for side, release in (("A", found.a), ("B", found.b)):
        say_when = release.written_at.isoformat(timespec="minutes")[:16].replace("T", " ")
        yield f"{side}  {release.folder.path}, release {release.id[:12]} of {say_when}"


def _next_item(found: Comparison) -> Iterator[str]:
    paired = found.next_item
    for metric in ("recall", "mrr", "ndcg") if paired.scorers else ():
        label = f"{metric.capitalize() if metric == 'recall' else metric.upper()}@{paired.k}"
        heads = (f"{label} {side}" for side in ("A", "B", "B − A"))
        yield f"{'next item, common cases':<{_NAME_WIDTH}}" + "".join(f" {head:>{_WIDTH}}" for head in heads)
        for name, figures in paired.scorers.items():
            texts = [interval_text(side[metric].to_json()) for side in (figures.a, figures.b)]
            texts.append(interval_text(figures.difference[metric].to_json(), sign="+"))
            yield f"{name.replace('_', ' '):<{_NAME_WIDTH}}" + "".join(f" {text:>{_WIDTH}}" for text in texts)
        yield ""


def _unpaired(found: Comparison) -> Iterator[str]:
    from item2vec.run.headlines import UNPAIRED

    if found.unpaired:
        yield f"below: {UNPAIRED}"
    for table in found.unpaired:
        heads = "".join(
            f" {head:>{_WIDTH}}" for name in table.metrics.values() for head in (f"A {name}", f"B {name}")
        )
        yield ""
        yield f"{table.title}: A {table.n_cases[0]:,} cases, B {table.n_cases[1]:,}"
        yield f"{'':<{_NAME_WIDTH}}{heads}"
        for name in table.a:
            texts = (
                "insufficient" if few else interval_text(side[name][metric])
                for metric in table.metrics
                for side, few in zip((table.a, table.b), table.insufficient, strict=True)
            )
            yield f"{name.replace('_', ' '):<{_NAME_WIDTH}}" + "".join(f" {text:>{_WIDTH}}" for text in texts)
        if table.note:
            yield table.note
        yield from (f"{side}: {why}" for side, why in zip("AB", table.insufficient, strict=True) if why)
    if found.unpaired:
        yield ""


def _settings(found: Comparison) -> Iterator[str]:
    if found.settings:
        yield "settings that differ"
    for one in found.settings:
        yield f"  {one.key:<{_NAME_WIDTH}} A {_setting(one.a)}   B {_setting(one.b)}"


def _setting(value: Any) -> str:
    if isinstance(value, Mapping) and value:
        return f"{len(value)} settings"
    return "not set" if value is None else str(value)


def _changed(found: Comparison) -> Iterator[str]:
    changed = found.stability.changed[:SHOWN]
    if changed:
        yield ""
        yield "items whose neighbours changed most"
    for one in changed:
        yield f"  {one.item_id}: {one.overlap:.0%} of {found.stability.k} stay"
        yield f"    A  {', '.join(map(str, one.current))}"
        yield f"    B  {', '.join(map(str, one.new))}"
