"""Where every source row went."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from item2vec.errors import CorruptArtifactError, DataError

LINES = ("physical", "header", "blank", "records")


def check_lines(lines: Mapping[str, int]) -> None:
    """Make sure that every physical line of a text source is in a header, blank, or in a record.

    Raises
    ------
    DataError
        If they do not add up.
    """
    if lines and lines["physical"] != sum(lines[name] for name in LINES[1:]):
        raise DataError(
            f"lines do not reconcile: {lines['physical']:,} are in the files, but {lines['header']:,} header"
            f" + {lines['blank']:,} blank + {lines['records']:,} in records were read; this is a fault of the"
            " reader, please report it"
        )


@dataclass(frozen=True)
class Reconciliation:
    """The account of one read: source rows by outcome, and the events they gave.

    ``rows_in = ok + duplicate + sum(quarantined) + sum(ignored)`` holds in *source rows*; `events` are
    counted apart, because one source row may give several (a click-out row with its impression list).

    Parameters
    ----------
    rows_in : int
        Rows (records, lines) in the source files, counted by the readers and not by the rules.
    ok : int
        Rows that gave events.
    duplicate : int
        Rows with the ``event_id`` and the body of an earlier row.
    quarantined : dict of str to int
        Refused rows by reason.
    ignored : dict of str to int
        Rows the mapping declares unwanted, by their event type; blank lines of text files count here too.
    events : dict of str to int
        Events written, by event type.
    attributes : dict of str to dict
        For the items and users tables: rows in, ok, duplicate, quarantined, unreadable values by column.
    alike_items : int
        Items whose ids differ from another's only by case or by Unicode form; they are kept apart.
    lines : dict of str to int
        For text sources: ``physical`` lines, counted from the bytes as they came, and where they went:
        ``header``, ``blank``, and lines that ``records`` span. Empty for Parquet.
    """

    rows_in: int
    ok: int
    duplicate: int
    quarantined: dict[str, int] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    attributes: dict[str, dict[str, int]] = field(default_factory=dict)
    alike_items: int = 0
    lines: dict[str, int] = field(default_factory=dict)

    @property
    def n_quarantined(self) -> int:
        """Refused rows, all reasons together."""
        return sum(self.quarantined.values())

    @property
    def n_ignored(self) -> int:
        """Unwanted rows, all values together."""
        return sum(self.ignored.values())

    @property
    def n_events(self) -> int:
        """Events written, all types together."""
        return sum(self.events.values())

    def check(self) -> None:
        """Make sure that no row is unaccounted for.

        Raises
        ------
        DataError
            If the outcomes do not add up to `rows_in`.
        """
        out = self.ok + self.duplicate + self.n_quarantined + self.n_ignored
        if out != self.rows_in:
            raise DataError(
                f"rows do not reconcile: {self.rows_in:,} came in, but {self.ok:,} ok"
                f" + {self.n_quarantined:,} quarantined + {self.duplicate:,} duplicate"
                f" + {self.n_ignored:,} ignored = {out:,};"
                " the source files changed while they were read, or this is a fault of the reader"
            )
        check_lines(self.lines)

    def to_json(self) -> str:
        """Return the account as JSON text, keys in a fixed order."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Reconciliation:
        """Rebuild an account from :meth:`to_json`.

        Raises
        ------
        CorruptArtifactError
            If the text is not such an account.
        """
        try:
            record = json.loads(text)
            if set(record) != {f.name for f in fields(cls)}:
                raise ValueError("other keys")
            return cls(**record)
        except (ValueError, TypeError) as error:
            raise CorruptArtifactError(f"not a reconciliation ({error}); read the events again") from None
