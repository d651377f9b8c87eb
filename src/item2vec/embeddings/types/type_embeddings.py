"""User types and listing types in one space, learned from what was booked and what was declined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from item2vec.embeddings.parameters import Estimator
from item2vec.embeddings.types.back_off import back_off, check_support
from item2vec.embeddings.types.refusals import checked_refusals
from item2vec.embeddings.types.sequences import known_shares, type_sequences
from item2vec.embeddings.types.stays import Stays
from item2vec.embeddings.types.type_map import TypeMap, ancestors
from item2vec.embeddings.types.type_vectors import PREFIXES, TypeVectors
from item2vec.errors import EmptyDataError
from item2vec.sessions.columns import token_array
from item2vec.sessions.container import Sessions

if TYPE_CHECKING:
    from item2vec.embeddings.item_vectors import ItemVectors

Reading = Literal["next", "similar"]
USER, LISTING = PREFIXES["user"], PREFIXES["listing"]


class TypeEmbeddings(Estimator):
    """Embeddings of user types and listing types in one space (Grbovic & Cheng 2018, section 4.2, eq. 6-9).

    Every user's bookings in time order become (user type, listing type, user type, listing type, …), each
    user type knowing only the bookings before it; skip-gram with negative sampling trains on these, with
    noise from all types and none from a market. A host's refusal pushes the guest's type and the listing's
    type apart, both ways.

    Parameters
    ----------
    type_map : TypeMap, optional
        The rules; by default the paper's (:meth:`TypeMap.from_toml`).
    min_support : int
        Fewest stays behind a type with a vector of its own; a rarer one backs off to its parent.
    vector_size, window, negative, epochs, alpha, min_alpha, ns_exponent, workers, seed
        As in :class:`~item2vec.Item2Vec`; the window counts types, two to a booking.

    Attributes
    ----------
    type_map_ : TypeMap
        The rules with fitted buckets.
    vectors_ : ItemVectors
        Of all types; a user type is called ``"u:" + name``, a listing type ``"l:" + name``.
    back_off_ : dict of str to BackOff
        Keys ``"user_type"`` and ``"listing_type"``: how often a type was too rare.
    known_ : dict of str to float
        Share of the bookings that have a value, by field: ``"user_type ppn"``, ``"listing_type lt"``, …
    booked_ : pyarrow.Table
        ``item_id`` and ``bookings``: how often each listing was booked.
    n_rejections_, n_rejections_unknown_ : int
        Refusals that were trained on, and those of an unknown listing or of types without a vector.
    """

    def __init__(
        self,
        *,
        type_map: TypeMap | None = None,
        min_support: int = 10,
        vector_size: int = 32,
        window: int = 5,
        negative: int = 5,
        epochs: int = 10,
        alpha: float = 0.05,
        min_alpha: float = 1e-4,
        ns_exponent: float = 0.75,
        workers: int | None = None,
        seed: int = 1,
    ) -> None:
        self.type_map = type_map
        self.min_support = min_support
        self.vector_size = vector_size
        self.window = window
        self.negative = negative
        self.epochs = epochs
        self.alpha = alpha
        self.min_alpha = min_alpha
        self.ns_exponent = ns_exponent
        self.workers = workers
        self.seed = seed

    def fit(
        self,
        bookings: Sessions,
        users: pa.Table | None = None,
        rejections: pa.Table | None = None,
        show_progress: bool = True,
    ) -> TypeEmbeddings:
        """Learn the types' vectors.

        Parameters
        ----------
        bookings : Sessions
            Booking sequences with users and times, of the training days only: buckets are fitted on them.
            ``min_length=1`` keeps the users with a single booking, who have a type as well.
        users : pyarrow.Table, optional
            ``user_id`` and attributes.
        rejections : pyarrow.Table, optional
            ``user_id``, ``item_id`` and ``ts_us`` of hosts' refusals, as :func:`rejections_of` returns them.
        show_progress : bool

        Raises
        ------
        UsageError
            If these are no booking sequences with users and times, or a hyper-parameter is out of range.
        EmptyDataError
            If there is no booking.
        """
        check_support(self.min_support)
        stays = Stays(bookings, users)
        if not len(stays):
            raise EmptyDataError("no booking to learn types from")
        rules = stays.fitted(TypeMap.from_toml() if self.type_map is None else self.type_map)
        user = stays.user_types(rules, stays.owners, stays.ts_us)
        listing = stays.listing_types(rules, stays.tokens, stays.ts_us)
        types_of = {"user_type": user, "listing_type": listing}
        self.known_ = known_shares(rules, types_of, own_rules=self.type_map is not None)
        self._set_bookings(bookings)
        homes, facts = {}, {}
        for name, types in types_of.items():
            homes[name], facts[name] = back_off(types, self.min_support)
        names = [USER + homes["user_type"][one] for one in user.names]
        names += [LISTING + homes["listing_type"][one] for one in listing.names]
        sequences = type_sequences(bookings, user, listing, names)
        self.type_map_, self.back_off_ = rules, facts
        pairs = [] if rejections is None else self._rejected_pairs(stays, rejections, homes)
        self.n_rejections_ = len(pairs)
        self.n_rejections_unknown_ = 0 if rejections is None else rejections.num_rows - len(pairs)
        self.set_vectors(self._train(sequences, pairs, show_progress))
        return self

    def set_vectors(self, vectors: ItemVectors) -> None:
        """Take these as the types' vectors."""
        self.vectors_ = vectors
        self._lookup = TypeVectors(vectors)

    def _set_bookings(self, bookings: Sessions) -> None:
        """Keep how often each listing was booked: what a type that counts bookings is made from later."""
        counts = np.bincount(bookings.tokens, minlength=bookings.n_items)
        self.booked_ = pa.table(
            {"item_id": bookings.item_ids, "bookings": pa.array(counts.tolist(), pa.int64())}
        )

    def bookings_of(self, item_ids: pa.Array) -> list[int]:
        """Return how many bookings of each item the types were learned from."""
        rows = token_array(item_ids, self.booked_["item_id"].combine_chunks())
        counts = [*self.booked_["bookings"].to_pylist(), 0]
        return [counts[row] for row in rows]

    def _train(self, sequences: Sessions, pairs: list[tuple[str, str]], show_progress: bool) -> ItemVectors:
        from item2vec.embeddings.item2vec import Item2Vec

        settings = {
            name: value
            for name, value in self.get_params().items()
            if name not in ("type_map", "min_support")
        }
        model = Item2Vec(**settings, min_count=1)
        return model.fit(sequences, rejections=pairs or None, show_progress=show_progress).item_vectors_

    def _rejected_pairs(
        self, stays: Stays, rejections: pa.Table, homes: Mapping[str, Mapping[str, str]]
    ) -> list[tuple[str, str]]:
        """Return the types of guest and listing at every refusal, as far as bookings taught both."""
        owners, tokens, ts_us = checked_refusals(rejections, stays)
        user = stays.user_types(self.type_map_, owners, ts_us).to_list()
        listing = stays.listing_types(self.type_map_, tokens, ts_us).to_list()
        known = {kind: set(found.values()) for kind, found in homes.items()}
        pairs = []
        for guest, home in zip(user, listing, strict=True):
            theirs = next((one for one in ancestors(guest) if one in known["user_type"]), None)
            ours = next((one for one in ancestors(home) if one in known["listing_type"]), None)
            if theirs is not None and ours is not None:
                pairs.append((USER + theirs, LISTING + ours))
        return pairs

    def user_type(
        self, attributes: Mapping[str, Any] | None = None, earlier: Sequence[Mapping[str, Any]] = ()
    ) -> str:
        """Return the type of a user who has booked the `earlier` listings; see :meth:`TypeMap.user_type`."""
        return self.type_map_.user_type(attributes, earlier)

    def user_type_table(self, bookings: Sessions, users: pa.Table | None = None) -> pa.Table:
        """Return of which type every user is from when on, for ``ranking_feature_table``.

        Parameters
        ----------
        bookings : Sessions
            Booking sequences, also of later days than those that were learned from: each changes what is
            known of its user from then on.
        users : pyarrow.Table, optional
            ``user_id`` and attributes; users without a booking get a row too.

        Returns
        -------
        pyarrow.Table
            ``user_id``, ``ts_us`` (0 for the first row of a user, else the time of a booking) and
            ``user_type``.
        """
        stays = Stays(bookings, users)
        everyone = np.arange(len(stays.user_ids))
        owners = np.concatenate([everyone, stays.owners])
        since = np.concatenate([np.zeros(len(everyone), np.int64), stays.ts_us])
        found = stays.user_types(self.type_map_, owners, since + (since > 0))
        return pa.table(
            {
                "user_id": stays.user_ids.take(pa.array(owners.tolist())),
                "ts_us": pa.array(since.tolist(), pa.int64()),
                "user_type": pa.array(found.to_list(), pa.string()),
            }
        )

    def vector(self, kind: str, name: str, *, output: bool = False) -> npt.NDArray[np.float32] | None:
        """Return the vector of a type or of its nearest ancestor, float32 (d,).

        An ancestor that has none of its own gets the mean of the types below it, by how often they were seen:
        so a guest of whom only the market is known is what the guests of that market are. None where no type
        of this kind was learned.

        Parameters
        ----------
        kind : {"user", "listing"}
        name : str
        output : bool
            The output (context) vector rather than the input vector.
        """
        return self._lookup.vector(kind, name, output=output)

    def has_own_vector(self, kind: str, name: str) -> bool:
        """Whether a type was frequent enough for a vector of its own."""
        return self._lookup.has_own(kind, name)

    def similarity(
        self, user_type: str, listing_types: Sequence[str], *, reading: Reading = "next"
    ) -> npt.NDArray[np.float32]:
        """Return how well listing types suit a user type (eq. 12 of the ranking features).

        Parameters
        ----------
        user_type : str
        listing_types : sequence of str
        reading : {"next", "similar"}
            ``"next"``: cosine of the user type's input and the listing type's output vector, the product that
            eq. 6-9 train, each less the mean of its kind: above 0 is more than most. ``"similar"``: of both
            input vectors, as the paper has it. These meet only through what both stand next to: nothing is
            learned for it from users with one booking, and a refusal does not lower it.

        Returns
        -------
        ndarray of float32, shape (len(listing_types),)
            Each in [−1, 1]; NaN where nothing is known of a type.
        """
        direction = self._lookup.direction if reading == "next" else self._lookup.unit
        mine = direction("user", user_type, output=False)
        cosines = {}
        for name in dict.fromkeys(listing_types):
            theirs = direction("listing", name, output=reading == "next")
            cosines[name] = np.nan if mine is None or theirs is None else mine @ theirs
        return np.array([cosines[name] for name in listing_types], np.float32)

    def save(self, path: str | Path) -> None:
        """Write rules, vectors and counts into a new folder.

        Raises
        ------
        UsageError
            If the embeddings are not fitted, or there is something at the path.
        """
        from item2vec.embeddings.types.types_folder import save_types

        save_types(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> TypeEmbeddings:
        """Read what :meth:`save` wrote.

        Raises
        ------
        SourceError
            If there are none.
        CorruptArtifactError
            If a file is damaged; the message names it.
        """
        from item2vec.embeddings.types.types_folder import load_types

        return load_types(Path(path))
