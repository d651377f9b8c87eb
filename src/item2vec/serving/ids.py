"""Item ids as HTTP carries them: percent-encoded text in addresses, text or numbers in JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from item2vec.recommendations.user_events import LONGEST_ID
from item2vec.serving.problems import Problem, refused
from item2vec.vocabulary import ItemId

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def plain_text(text: str, where: str) -> str:
    """Return a text of 1 to 256 characters without control characters.

    Raises
    ------
    Problem
        If it is none.
    """
    if not 0 < len(text) <= LONGEST_ID:
        raise refused(where, f"an id has 1 to {LONGEST_ID} characters")
    if _UNPRINTABLE.search(text):
        raise refused(where, "an id holds no control characters")
    return text


def decoded(segment: str | bytes, where: str) -> str:
    """Return a percent-encoded part of an address as text.

    Raises
    ------
    Problem
        If it is no UTF-8, or no id.
    """
    try:
        text = unquote_to_bytes(segment).decode("utf-8")
    except UnicodeError:
        raise refused(where, "an id is percent-encoded UTF-8") from None
    return plain_text(text, where)


class ItemIds:
    """Reads item ids for a release whose ids are of one type.

    Parameters
    ----------
    id_type : {"string", "int64"}
    """

    def __init__(self, id_type: str) -> None:
        self.id_type = id_type

    def of_text(self, text: str) -> ItemId | None:
        """Return the id that a text names; None where no item of this release can have it."""
        if self.id_type == "string":
            return text
        if _INTEGER.fullmatch(text) is None or text == "-0":
            return None
        return _of_64_bits(int(text))

    def of_json(self, value: str | int, where: str) -> ItemId | None:
        """Return the id that a value of a body names; a text may stand for a number, not the reverse.

        Raises
        ------
        Problem
            If it is a number and ids are texts, or no id at all.
        """
        if isinstance(value, str):
            return self.of_text(plain_text(value, where))
        if self.id_type == "string":
            raise refused(where, "the item ids of this release are texts")
        return _of_64_bits(value)

    def known_kind(self, values: Iterable[str | int], where: str) -> list[ItemId]:
        """Return ids of a body without those that no item can have."""
        found = (self.of_json(one, f"{where}.{place}") for place, one in enumerate(values))
        return [one for one in found if one is not None]

    def of_address(self, segment: str | bytes) -> ItemId:
        """Return the id in an address.

        Raises
        ------
        Problem
            404 where no item can have it, 422 where it is no id.
        """
        found = self.of_text(decoded(segment, "item_id"))
        if found is None:
            raise no_such_item()
        return found


def no_such_item() -> Problem:
    """Return the refusal of an id that is not there."""
    return Problem(404, "There is no such item in this release.")


def _of_64_bits(value: int) -> int | None:
    return value if -(2**63) <= value < 2**63 else None
