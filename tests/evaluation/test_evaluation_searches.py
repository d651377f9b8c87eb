"""The searches that showed what was booked: whose they are."""

from __future__ import annotations

from booked_rank_referee import event, sessions_of_log, shown, write_log

from item2vec.evaluation import search_lists

S = 1_000_000


def test_a_search_belongs_to_its_user(tmp_path):
    """Both book k and search under one id: at 5 and 15 s, and with other things around k."""
    log = write_log(
        tmp_path,
        [
            event("u", 1 * S, "click", "a"),
            *shown("u", 5 * S, "s", "ak"),
            event("u", 20 * S, "click", "k"),
            event("u", 30 * S, "booking", "k"),
            event("v", 2 * S, "click", "b"),
            *shown("v", 15 * S, "s", "kbc"),
            event("v", 21 * S, "click", "k"),
            event("v", 31 * S, "booking", "k"),
        ],
    )
    sessions = sessions_of_log(log)
    searches = search_lists(log, sessions)
    ids = searches.item_ids.to_pylist()
    found = {}
    for booking, of, first_us in zip(searches.bookings, searches.list_nums, searches.first_us, strict=True):
        user = sessions.user_ids[sessions.session_ids.tolist().index(searches.session_ids[booking])].as_py()
        items = searches.items[searches.offsets[of] : searches.offsets[of + 1]]
        found.setdefault(user, []).append((int(first_us) // S, "".join(ids[item] for item in items)))
    assert found == {"u": [(5, "ak")], "v": [(15, "kbc")]}
