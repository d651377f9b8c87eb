"""What the notebooks say in HTML: listings as cards, a journey as rows of them, sentences with figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import pyarrow as pa
from IPython import get_ipython
from IPython.display import HTML, Markdown, display

# Every rule names its colours: a page in dark mode must not put light text on a light card.
CARD = (
    "display:inline-block;vertical-align:top;box-sizing:border-box;margin:0 8px 8px 0;padding:8px 10px;"
    "border:1px solid #d0d0d0;border-top:4px solid {colour};border-radius:6px;background:#fff;color:#333;"
    "font:12px/1.45 sans-serif;width:{width}px;text-align:left"
)
SHOWN = ("market", "listing_type", "price", "capacity", "bedrooms", "five_star_share", "category")


def say(text: str) -> None:
    """Show a sentence: as Markdown in a notebook, as it is in a terminal."""
    if get_ipython() is None:
        print(text)
    else:
        display(Markdown(text))


def show(html: str) -> None:
    """Show HTML in a notebook; in a terminal there is nothing to see."""
    if get_ipython() is not None:
        display(HTML(html))


class Catalogue:
    """The item table by id, as the cards need it.

    Parameters
    ----------
    items : pyarrow.Table or None
        ``item_id`` and attributes.
    """

    def __init__(self, items: pa.Table | None) -> None:
        rows = [] if items is None else items.to_pylist()
        self._rows: dict[Any, dict[str, Any]] = {row["item_id"]: row for row in rows}
        self._nightly = items is not None and "listing_type" in items.column_names

    def __getitem__(self, item_id: Any) -> Mapping[str, Any]:
        return self._rows.get(item_id, {})

    def facts(self, item_id: Any, names: Sequence[str] = SHOWN) -> dict[str, str]:
        """Return the attributes worth a line, written out."""
        known = {name: self[item_id].get(name) for name in names}
        return {name: self._written(name, value) for name, value in known.items() if value is not None}

    def short(self, item_id: Any) -> str:
        """Return an item in a few words."""
        facts = self.facts(item_id)
        words = [facts[name] for name in ("listing_type", "category", "price") if name in facts]
        return " · ".join(words) or str(item_id)

    def _written(self, name: str, value: Any) -> str:
        if name == "price":
            return f"{value:,.0f} a night" if self._nightly else f"costs {value:,.2f}"
        if name == "five_star_share":
            return f"{value:.0%} five stars"
        if name in ("capacity", "bedrooms"):
            unit = "guest" if name == "capacity" else "bedroom"
            return f"{value:g} {unit}" + ("" if value == 1 else "s")
        return str(value).rsplit("/", 1)[-1] if name in ("market", "category") else str(value)


def card(
    catalogue: Catalogue,
    item_id: Any,
    *,
    head: str = "",
    score: float | None = None,
    like: Any = None,
    colour: str = "#0072B2",
    width: int = 140,
    names: Sequence[str] = SHOWN,
) -> str:
    """Return one listing as a card; what it shares with `like` is in bold, `score` is a bar.

    Parameters
    ----------
    catalogue : Catalogue
    item_id : id
    head : str
        A small line above the id.
    score : float, optional
        In [0, 1], drawn as a bar.
    like : id, optional
        The listing to compare with.
    colour : str
        Of the upper edge.
    width : int
        In pixels.
    names : sequence of str
        The attributes to show.
    """
    shared = {} if like is None else catalogue.facts(like)
    lines = [
        f"<b>{escape(text)}</b>" if shared.get(name) == text else f"<span>{escape(text)}</span>"
        for name, text in catalogue.facts(item_id, names).items()
    ]
    bar = ""
    if score is not None:
        filled = f"width:{max(0.0, min(1.0, score)):.0%};height:5px;background:{colour}"
        bar = f'<div style="margin-top:6px;background:#eee"><div style="{filled}"></div></div>{score:.2f}'
    small = f'<div style="color:#767676;font-size:11px">{escape(head)}</div>' if head else ""
    name = escape(str(item_id))
    title = f'<div style="font-weight:600;overflow-wrap:anywhere">{name}</div>'
    body = "<br>".join(lines)
    return f'<div style="{CARD.format(colour=colour, width=width)}">{small}{title}{body}{bar}</div>'


def shelf(title: str, cards: Iterable[str]) -> str:
    """Return cards side by side under a title."""
    head = f'<div style="font:600 13px sans-serif;margin:10px 0 6px">{escape(title)}</div>'
    return f'{head}<div style="white-space:normal">{"".join(cards)}</div>'


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a plain table; cells that are lists of cards go through as they are."""
    cell = "padding:4px 10px;border-bottom:1px solid #ddd;text-align:left;vertical-align:top"
    head = "".join(f'<th style="{cell}">{escape(name)}</th>' for name in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{cell}">{_cell(value)}</td>' for value in row) + "</tr>" for row in rows
    )
    return f'<table style="font:12px sans-serif"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _cell(value: Any) -> str:
    return value.html if isinstance(value, Raw) else escape(str(value))


class Raw:
    """HTML of ours that a table takes as it is."""

    def __init__(self, html: str) -> None:
        self.html = html
