"""Two releases side by side: settings, next-item figures on common cases, items, neighbours that changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from item2vec.artifacts import Release, read_release
from item2vec.errors import DataError, RunError
from item2vec.evaluation.arguments import check_resamples, check_whole
from item2vec.run.comparison_words import sentences
from item2vec.run.headlines import UNPAIRED, Headlines, headlines, read_report
from item2vec.run.load import VECTORS
from item2vec.run.paired import RANKS, PairedNextItem, pair_ranks

if TYPE_CHECKING:
    from item2vec.run.stability import Stability

# The sections of a run file by the stage that holds their settings. The stage holdout repeats two of them.
SECTIONS = {
    "simulate": "simulate",
    "events": "events",
    "sessions": "sessions",
    "embeddings": "train",
    "index": "index",
    "recommendations": "recommend",
    "evaluation": "evaluate",
}
# What a click is. With other rules of sessions a case is common only if its whole prefix is.
RULES_OF_CLICKS = {
    "events": ("event_types", "event_type", "importer", "importer_mapping"),
    "sessions": ("kind",),
}
ASKED = 3000  # items whose neighbours are compared: the head of a large catalogue must be among them
CHANGED = 10
LEAST_RESAMPLES = 100  # as in [evaluate]: fewer give no percentiles worth the name
_RESAMPLES = f"intervals take {LEAST_RESAMPLES} resamples at least, a whole number; 1000 is usual"
_TEMPLATE = Path(__file__).with_name("comparison.html.j2")


@dataclass(frozen=True)
class Setting:
    """A setting that two releases do not share; None where one has no such key, or section."""

    key: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found; every difference is B − A.

    Attributes
    ----------
    a, b : Release
        The two releases.
    settings : tuple of Setting
        Settings that differ, named as in a run file.
    same_sessions : bool
        Both were made from the same sessions, to the byte.
    next_item : PairedNextItem
        Recall, MRR and NDCG on the common test cases, with paired intervals.
    stability : Stability
        Items and nearest neighbours: ``current`` is A, ``new`` is B.
    unpaired : tuple of Headlines
        Coverage, booked ranks and long-term figures, of each release on its own cases.
    trained_until : tuple of (str or None)
        Cut T1 of A and of B (ISO 8601, UTC), before which all lies that their measured models saw; None where
        nothing was measured.
    """

    a: Release
    b: Release
    settings: tuple[Setting, ...]
    same_sessions: bool
    next_item: PairedNextItem
    stability: Stability
    unpaired: tuple[Headlines, ...] = ()
    trained_until: tuple[str | None, str | None] = (None, None)

    def __str__(self) -> str:
        return "\n".join(self.sentences())

    def sentences(self) -> list[str]:
        """Say in words what the figures mean, the most important first."""
        return list(sentences(self))

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON types, None for one without a case."""
        found = self.stability
        return {
            "a": _name(self.a),
            "b": _name(self.b),
            "sentences": self.sentences(),
            "trained_until": dict(zip("ab", self.trained_until, strict=True)),
            "same_sessions": self.same_sessions,
            "settings": [{"key": one.key, "a": one.a, "b": one.b} for one in self.settings],
            "next_item": self.next_item.to_json(),
            "unpaired": [one.to_json() for one in self.unpaired],
            "items": {"a": found.n_current, "b": found.n_new, "both": found.n_both},
            "stability": {
                "k": found.k,
                "overlap": found.overlap,
                "n_asked": found.n_asked,
                **found.slices,
            },
            "changed": [
                {"item_id": one.item_id, "overlap": one.overlap, "a": list(one.current), "b": list(one.new)}
                for one in found.changed
            ],
        }

    def write_html(self, path: str | Path) -> Path:
        """Write the comparison as a page that needs nothing but itself.

        Raises
        ------
        MissingDependencyError
            If Jinja2 is not installed.
        RunError
            If the file cannot be written.
        """
        from item2vec.evaluation.report.page import render_page

        page = render_page(_TEMPLATE, {"found": self.to_json(), "unpaired": UNPAIRED})
        target = Path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(page, encoding="utf-8")
        except OSError as error:
            raise RunError(f"cannot write {target}: {error.strerror}; choose another place") from error
        return target


def compare(
    a: str | Path,
    b: str | Path,
    *,
    release_a: str | None = None,
    release_b: str | None = None,
    n_bootstrap: int = 1000,
    seed: int = 1,
) -> Comparison:
    """Compare two releases: what does B gain, and is it more than chance?

    Next-item figures are computed again from the kept ranks, on the cases that both releases were tested on,
    so that neither is helped by easier sessions; the intervals are paired: both are averaged over the same
    resamples of sessions (95 %). Only files whose hashes match their manifests are read.

    Parameters
    ----------
    a, b : str or Path
        Folders of runs, such as ``runs/demo``; twice the same for two releases of one run.
    release_a, release_b : str, optional
        Other releases than the current ones: an id, or its first digits.
    n_bootstrap, seed : int
        Resamples of sessions behind the intervals, 100 at least, and the seed of their draws.

    Returns
    -------
    Comparison

    Raises
    ------
    UsageError
        If there is no such run or release, fewer than 100 resamples, or a seed that is none.
    CorruptArtifactError
        If a file that is read does not match its manifest; the message names it.
    DataError
        If the two have item ids of different types: then they share no item.
    """
    check_whole("n_bootstrap", n_bootstrap, LEAST_RESAMPLES, _RESAMPLES)
    check_resamples(n_bootstrap, seed)
    releases = read_release(a, release_a), read_release(b, release_b)
    stability = _stability(*releases)
    contents = [release.body["stages"].get("sessions", {}).get("content") for release in releases]
    same_sessions = None not in contents and contents[0] == contents[1]
    paired = _next_item(releases, same_sessions, n_bootstrap, seed)
    one, two = (read_report(release) for release in releases)
    cuts = _trained_until(one), _trained_until(two)
    settings, unpaired = tuple(_settings(*releases)), headlines(one, two)
    return Comparison(*releases, settings, same_sessions, paired, stability, unpaired, cuts)


def _trained_until(report: Mapping[str, Any]) -> str | None:
    found: str | None = (report.get("split") or {}).get("t1")
    return found


def _name(release: Release) -> dict[str, str]:
    return {"run": release.folder.path.name, "release": release.id}


def _stability(a: Release, b: Release) -> Stability:
    from item2vec.embeddings import ItemVectors
    from item2vec.run.stability import stability

    one, two = (ItemVectors.load(release.open("embeddings").path / VECTORS) for release in (a, b))
    kinds = one.vocabulary.id_type, two.vocabulary.id_type
    if kinds[0] != kinds[1]:
        raise DataError(
            f"the item ids are {kinds[0]} in A ({a.folder.path}) and {kinds[1]} in B ({b.folder.path}), so no"
            " item is in both; read both logs with the same events.id_type"
        )
    return stability(one, two, max_asked=ASKED, n_changed=CHANGED)


def _next_item(
    releases: tuple[Release, Release], same_sessions: bool, n_bootstrap: int, seed: int
) -> PairedNextItem:
    """Pair the kept ranks, or say why that cannot be done and what to do about it."""
    import pyarrow.parquet as pq

    tables = []
    for side, release in zip("AB", releases, strict=True):
        figures, stored = release.figures["evaluation"], release.open("evaluation")
        if "next_item" not in figures:
            reason = figures.get("insufficient_data", "it was not evaluated")
            return PairedNextItem(insufficient=f"{side} has no next-item figures: {reason}")
        if RANKS not in stored.manifest["files"]:
            reason = (
                f"not comparable: {side} was made before the ranks of test cases were kept; repeat the"
                f" `item2vec run` of {release.folder.path.name}: where nothing changed it only measures again"
            )
            return PairedNextItem(insufficient=reason)
        tables.append(pq.read_table(stored.path / RANKS))
    if reason := _other_clicks(*releases):
        return PairedNextItem(insufficient=f"not comparable: {reason}")
    a, b = tables
    k = min(release.figures["evaluation"]["k"] for release in releases)
    return pair_ranks(a, b, k, same_sessions=same_sessions, n_bootstrap=n_bootstrap, seed=seed)


def _other_clicks(a: Release, b: Release) -> str:
    """Name the settings by which a click of A is something else than one of B, or nothing."""
    found = [
        (f"{stage}.{key}", *(release.config.get(stage, {}).get(key) for release in (a, b)))
        for stage, keys in RULES_OF_CLICKS.items()
        for key in keys
    ]
    return "; ".join(f"{key} is {one!r} in A and {two!r} in B" for key, one, two in found if one != two)


def _settings(a: Release, b: Release) -> Iterator[Setting]:
    """Yield what differs, key by key, in the order of the stages; an absent key has its default."""
    told = set()
    for stage, section in SECTIONS.items():
        side_a, side_b = (release.config.get(stage) for release in (a, b))
        if side_a is None or side_b is None:  # each setting of the other side would only say so again
            if side_a != side_b:
                yield Setting(section, side_a, side_b)
            continue
        defaults = _defaults(section)
        one, two = (dict(_leaves({**defaults, **side}, section)) for side in (side_a, side_b))
        for key in [*one, *(key for key in two if key not in one)]:
            name = key.split(".", 1)[1] if key.startswith(f"{section}.scoring.") else key  # in several stages
            if one.get(key) != two.get(key) and name not in told:
                told.add(name)
                yield Setting(name, one.get(key), two.get(key))


def _defaults(section: str) -> dict[str, Any]:
    """Return the defaults of a section: a release of an earlier version does not name what came later."""
    from pydantic_core import to_jsonable_python

    from item2vec.config import NOT_HASHED, section_models

    fields = section_models()[section].model_fields
    known = {name: field for name, field in fields.items() if not field.is_required()}
    found: dict[str, Any] = to_jsonable_python(
        {name: field.get_default(call_default_factory=True) for name, field in known.items()}
    )
    return {name: value for name, value in found.items() if name not in NOT_HASHED}


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}", value
