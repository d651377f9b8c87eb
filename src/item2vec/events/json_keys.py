"""How the keys of JSON objects are called as columns: any key can be held, few can be named in SQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from item2vec.events.scan import CONTROLS, RESERVED

KEY = "__raw:"  # how the column of a key begins, before its number
JSON_TYPE = "__type:"  # how the columns begin that hold the JSON type of a key's values


def column_names(keys: Sequence[str]) -> list[str]:
    """Return the column of each key: the key itself where it can be named and told apart from the others.

    Of keys that differ by case only, the one in lower case, else the first by the alphabet, is.
    """
    usable = {k for k in keys if k and not CONTROLS.search(k) and not k.casefold().startswith(RESERVED)}
    first: dict[str, str] = {}
    for key in sorted(usable, key=lambda key: (key != key.casefold(), key)):
        first.setdefault(key.casefold(), key)
    return [
        key if first.get(key.casefold()) == key else f"{KEY}{n}:{key if key in usable else ''}"
        for n, key in enumerate(keys)
    ]


def column_of(key: str, columns: Collection[str]) -> str:
    """Return the column of a key, the key itself where there is none."""
    if key in columns:
        return key
    return next((c for c in columns if c.startswith(KEY) and c.split(":", 2)[2] == key), key)
