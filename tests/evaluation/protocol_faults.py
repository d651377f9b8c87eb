"""Faults in the protocols of stays and of booked listings."""

from __future__ import annotations

from faults import fault

CASES = "evaluation/booked_ranks/cases.py"
LONG_TERM = "evaluation/long_term/protocol.py"
RANK_RESULT = "evaluation/booked_ranks/result.py"
RANK_SUMMARY = "evaluation/booked_ranks/summary.py"
LIST_RANKS = "evaluation/booked_ranks/list_ranks.py"
SEARCHES = "evaluation/booked_ranks/searches.py"
STAYS = "evaluation/long_term/stays.py"
STAY_RANKS = "evaluation/long_term/stay_ranks.py"

PROTOCOLS = [
    fault(
        "a user's first stay is no target",
        STAYS,
        "n_cases = np.maximum(lengths - first, 0)",
        "first = np.maximum(first, 1)\n    n_cases = np.maximum(lengths - first, 0)",
        "long_term::test_agreement_with_a_referee_in_plain_python",
        "bad_input::test_long_term",
    ),
    fault(
        "the candidates are of all markets",
        STAY_RANKS,
        'np.searchsorted(ordered, market, "right")',
        "len(ordered)",
        "long_term::test_agreement_with_a_referee_in_plain_python",
        slow=True,
    ),
    fault(
        "a type is as good as all its listings together",
        STAY_RANKS,
        "np.maximum.reduceat(here",
        "np.add.reduceat(here",
        "long_term::test_agreement_with_a_referee_in_plain_python",
        slow=True,
    ),
    fault(
        "stays are resampled instead of users",
        LONG_TERM,
        "bootstrap_means(figures, cases.users,",
        "bootstrap_means(figures, np.arange(len(cases)),",
        "long_term::test_users_are_the_clusters",
    ),
    fault(
        "an unknown type is a miss",
        LONG_TERM,
        "np.where(cases.has_type, type_ranks <= 1, np.nan)",
        "type_ranks <= 1",
        "long_term::test_agreement_with_a_referee_in_plain_python",
        "bad_input::test_long_term",
    ),
    fault(
        "the click on the booked listing itself counts as before it",
        CASES,
        "before=nth < _first_clicks(test)[bookings],",
        "before=nth <= _first_clicks(test)[bookings],",
        "booked_rank::test_in_the_market_each_click_before_the_booking_is_a_query",
        "booked_rank::test_the_protocol_agrees_with_plain_loops",
        slow=True,
    ),
    fault(
        "clicks after the booking ask for it",
        CASES,
        "        n_clicks = _clicks_before(test, owners, test.booked_us)\n",
        "        pass\n",
        "booked_rank::test_the_protocol_agrees_with_plain_loops",
        slow=True,
    ),
    fault(
        "the query may be clicked in the list it re-ranks",
        CASES,
        "n_history = _clicks_before(test, sessions, searches.first_us)",
        "n_history = np.maximum(_clicks_before(test, sessions, searches.first_us + 10**9), 1)",
        "booked_rank::test_the_query_is_never_later_than_its_list",
        slow=True,
    ),
    fault(
        "the query competes with what was booked",
        CASES,
        "skipped=np.where(skipped, queries, NOBODY).astype(np.int32),",
        "skipped=np.full(len(queries), NOBODY, np.int32),",
        "booked_rank::test_in_the_market_each_click_before_the_booking_is_a_query",
        "booked_rank::test_the_protocol_agrees_with_plain_loops",
        slow=True,
    ),
    fault(
        "the query competes with what was booked in its search",
        CASES,
        "skipped = (queries != wanted) & (query_places > 0)",
        "skipped = np.zeros(len(queries), bool)",
        "booked_rank::test_a_case_is_a_search_between_the_first_click_and_the_booking",
        "booked_rank::test_the_protocol_agrees_with_plain_loops",
        slow=True,
    ),
    fault(
        "production's order counts the query",
        CASES,
        "places - (skipped & (query_places < places))",
        "places",
        "booked_rank::test_a_case_is_a_search_between_the_first_click_and_the_booking",
        slow=True,
    ),
    fault(
        "a search for what no method knows is production's alone",
        CASES,
        "known = _known_by_any(searches.item_ids, vocabularies)",
        "known = np.ones(len(searches.item_ids), bool)",
        "booked_rank::test_a_search_of_the_query_and_the_booked_or_of_an_unknown_booked_is_no_case",
        slow=True,
    ),
    fault(
        "silence about a list is as good as chance",
        LIST_RANKS,
        "(equal if empty[case] else 0.5 * equal)",
        "0.5 * equal",
        "booked_rank::test_a_method_that_says_nothing_is_last_and_counted",
        slow=True,
    ),
    fault(
        "what no method knows is asked for",
        CASES,
        "~known[cases.booked], ",
        "~known[cases.booked] & False, ",
        "booked_rank::test_a_method_that_says_nothing_is_last_and_counted",
        slow=True,
    ),
    fault(
        "the normalised rank never reaches 1",
        RANK_RESULT,
        "(ranks - 1) / (cases.n_candidates - 1)",
        "(ranks - 1) / cases.n_candidates",
        "booked_rank::test_the_protocol_agrees_with_plain_loops",
        slow=True,
    ),
    fault(
        "cases are resampled instead of sessions",
        RANK_SUMMARY,
        "cases.session_nums[mask], n_bootstrap",
        "np.flatnonzero(mask), n_bootstrap",
        "booked_rank::test_differences_are_paired_and_clusters_are_sessions",
        slow=True,
    ),
    fault(
        "positions with few cases are shown",
        RANK_SUMMARY,
        "if at.sum() >= min_cases else None",
        "if at.sum() else None",
        "booked_rank::test_positions_with_few_cases_are_hidden_and_a_thin_headline_is_called_so",
        slow=True,
    ),
    fault(
        "booked rank reads searches made before the session",
        SEARCHES,
        "first_us > start_us AND ",
        "",
        "booked_rank::test_a_case_is_a_search_between_the_first_click_and_the_booking",
        slow=True,
    ),
    fault(
        "booked rank reads searches made after the booking",
        SEARCHES,
        " AND first_us <= booked_us",
        "",
        "booked_rank::test_a_case_is_a_search_between_the_first_click_and_the_booking",
        slow=True,
    ),
    fault(
        "booked rank takes the searches of other users for cases",
        SEARCHES,
        "JOIN searches USING (user_id, search_id)",
        "JOIN searches USING (search_id)",
        "searches::test_a_search_belongs_to_its_user",
        slow=True,
    ),
    fault(
        "booked rank reads the lists of other users",
        SEARCHES,
        "FROM events JOIN chosen USING (user_id, search_id)",
        "FROM events JOIN chosen USING (search_id)",
        "booked_rank::test_a_case_is_a_search_between_the_first_click_and_the_booking",
        slow=True,
    ),
]
