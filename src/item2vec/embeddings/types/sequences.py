"""Sequences of types as the trainer reads them, and how much is known of those behind them."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from item2vec.embeddings.types.fields import MISSING
from item2vec.embeddings.types.type_map import TypeMap, Types, coded
from item2vec.sessions.container import Sessions

logger = logging.getLogger(__name__)


def known_shares(rules: TypeMap, types: Mapping[str, Types], *, own_rules: bool) -> dict[str, float]:
    """Return for each field the share of the stays with a value, and warn of those that nobody has.

    Of the paper's rules no log has all columns; there only a user table that was forgotten is told.
    """
    shares = {}
    for kind, fields in (("user_type", rules.user_fields), ("listing_type", rules.listing_fields)):
        found = types[kind]
        rows = np.bincount(found.codes, minlength=len(found.names))
        for place, field in enumerate(fields):
            missing = field.code + MISSING
            known = np.array([name.split("_")[place] != missing for name in found.names])
            shares[f"{kind} {field.code or field.source}"] = float(rows[known].sum() / max(rows.sum(), 1))
    absent = [name for name, share in shares.items() if not share]
    if own_rules:
        for name in absent:
            logger.warning("no booking has a value for the field %r: no such column, or no user table?", name)
    elif {f"user_type {one.code or one.source}" for one in rules.user_fields if one.column} <= set(absent):
        logger.warning("no guest has an attribute of the paper's rules: give fit(bookings, users=table)")
    return shares


def type_sequences(bookings: Sessions, user: Types, listing: Types, names: list[str]) -> Sessions:
    """Return the sequences of types: two tokens to a booking, the user's first."""
    distinct, numbers = coded(names)
    tokens = np.empty(2 * len(user.codes), np.int32)
    tokens[0::2] = numbers[user.codes]
    tokens[1::2] = numbers[len(user.names) + listing.codes]
    n = len(bookings)
    return Sessions(
        item_ids=pa.array(distinct, pa.string()),
        tokens=tokens,
        offsets=2 * bookings.offsets,
        booked=np.zeros(0, np.int32),
        booked_offsets=np.zeros(n + 1, np.int64),
        weights=bookings.weights,
        session_ids=bookings.session_ids,
        markets=np.full(len(distinct), -1, np.int32),
    )
