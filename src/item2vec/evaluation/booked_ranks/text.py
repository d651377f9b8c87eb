"""Booked rank as a few lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from item2vec.evaluation.text_table import text_table

if TYPE_CHECKING:
    from item2vec.evaluation.booked_ranks.result import BookedRankResult


def booked_rank_text(result: BookedRankResult) -> str:
    """Show the headline of a result, a row per line."""
    cases = result.cases
    kind = f"{cases.candidates}, insufficient data" if result.insufficient else cases.candidates
    title = f"Booked rank ({kind}): {len(cases):,} cases; those before the first click on the booked"
    overall = {name: result.curves[name]["before"].overall for name in result.lines}
    rows = [(name, f"{one.n:,}", one.mean_rank, one.normalised) for name, one in overall.items()]
    table = text_table(f"{title} listing", ["line", "cases", "mean rank", "normalised"], rows)
    return f"{table}\n  {result.insufficient}" if result.insufficient else table
