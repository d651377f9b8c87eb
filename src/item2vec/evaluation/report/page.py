"""Pages that need nothing but themselves: one look, one set of filters, every text escaped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from item2vec.errors import MissingDependencyError
from item2vec.evaluation.report import readings

FOLDER = Path(__file__).parent
FILTERS = ("bounded", "flat", "lowest_rank", "number", "reading", "shades", "signed", "times", "utc", "words")


def render_page(template: Path, values: Mapping[str, Any]) -> str:
    """Write a page from a template.

    Parameters
    ----------
    template : Path
        A Jinja template. ``{% include "page_style.html.j2" %}`` in its head gives the look of the report,
        ``{% from "page_style.html.j2" import plot, with_interval, change, … %}`` its macros.
    values : mapping
        Names of the template → values; a name that is not there is an error.

    Returns
    -------
    str
        The page, all values escaped.

    Raises
    ------
    MissingDependencyError
        If Jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependencyError(
            "the report is written with Jinja2, which is not installed: pip install 'item2vec[report]'"
        ) from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, FOLDER]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({name: getattr(readings, name) for name in FILTERS})
    return environment.get_template(template.name).render(values)
