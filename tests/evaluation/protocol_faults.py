"""Faults in the baselines, in the protocols beyond the next item, and in how a run composes them."""

from __future__ import annotations

from faults import fault

CASES = "evaluation/booked_cases.py"
ITEM_KNN = "evaluation/baselines/item_knn.py"
LONG_TERM = "evaluation/long_term.py"
NEIGHBOURS = "evaluation/neighbours.py"
POPULARITY = "evaluation/baselines/popularity.py"
RANK_RESULT = "evaluation/booked_rank_result.py"
RULES = "evaluation/baselines/sequential_rules.py"
SESSION_KNN = "evaluation/baselines/session_knn.py"
STAYS = "evaluation/stays.py"
STAY_RANKS = "evaluation/stay_ranks.py"
TYPES = "evaluation/baselines/types.py"

BASELINES = [
    fault(
        "popularity counts bookings",
        POPULARITY,
        "counts = np.bincount(sessions.tokens, minlength=sessions.n_items)",
        "counts = np.bincount(np.append(sessions.tokens, sessions.booked), minlength=sessions.n_items)",
        "baselines::test_popularity_counts_clicks",
    ),
    fault(
        "the market is the first click's",
        POPULARITY,
        "self._markets != known[-1]",
        "self._markets != known[0]",
        "baselines::test_popularity_of_the_market_of_the_last_click",
        slow=True,
    ),
    fault(
        "an item is its own nearest neighbour",
        ITEM_KNN,
        "others = columns != rows + start",
        "others = columns >= 0",
        "baselines::test_item_knn_by_hand",
    ),
    fault(
        "item-kNN forgets its regularisation",
        ITEM_KNN,
        "np.sqrt(self.vocabulary.counts + self.regularization)",
        "np.sqrt(self.vocabulary.counts)",
        "baselines::test_item_knn_by_hand",
        slow=True,
    ),
    fault(
        "item-kNN keeps the farthest",
        ITEM_KNN,
        "np.lexsort((columns, -similarities, rows))",
        "np.lexsort((columns, similarities, rows))",
        "baselines::test_item_knn_keeps_the_nearest",
        slow=True,
    ),
    fault(
        "older clicks weigh more",
        "evaluation/baselines/click_matrix.py",
        "age = np.repeat(offsets[1:], np.diff(offsets)) - 1 - np.arange(len(items))",
        "age = np.arange(len(items)) - np.repeat(offsets[:-1], np.diff(offsets))",
        "baselines::test_item_knn_by_hand",
    ),
    fault(
        "rules lead across the wall between sessions",
        RULES,
        "starts = np.flatnonzero(left > distance)",
        "starts = np.flatnonzero(left[: len(items) - distance] > 0)",
        "baselines::test_sequential_rules_by_hand",
    ),
    fault(
        "rules weigh all distances the same",
        RULES,
        "np.full(len(starts), 1 / distance)",
        "np.full(len(starts), 1.0)",
        "baselines::test_sequential_rules_by_hand",
        slow=True,
    ),
    fault(
        "rules lead backwards",
        RULES,
        "pairs = (items[starts], items[starts + distance])",
        "pairs = (items[starts + distance], items[starts])",
        "baselines::test_sequential_rules_by_hand",
        slow=True,
    ),
    fault(
        "session-kNN compares the oldest sessions",
        SESSION_KNN,
        "np.sort(found)[::-1][:sample_size]",
        "np.sort(found)[:sample_size]",
        "baselines::test_session_knn_by_hand",
        slow=True,
    ),
    fault(
        "session-kNN forgets how rare an item is",
        SESSION_KNN,
        "self._idf = np.log(len(sessions) / n_with)",
        "self._idf = np.ones(len(n_with))",
        "baselines::test_session_knn_by_hand",
        slow=True,
    ),
    fault(
        "the votes of one history leak into the next",
        SESSION_KNN,
        "        similarity[candidates] = 0.0\n",
        "",
        "known_answers::test_a_batch_is_answered_like_single_questions",
        slow=True,
    ),
    fault(
        "types follow each other from user to user",
        TYPES,
        "pairs = users[1:] == users[:-1]",
        "pairs = users[1:] >= users[:-1]",
        "types::test_type_transitions_agree_with_plain_python",
    ),
]

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
        "np.flatnonzero(catalogue.markets[nums] == market)",
        "np.flatnonzero(catalogue.markets[nums] >= 0)",
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
        "the normalised rank never reaches 1",
        RANK_RESULT,
        "(ranks - 1) / (cases.n_candidates - 1)",
        "(ranks - 1) / cases.n_candidates",
        "booked_rank::test_the_protocol_agrees_with_plain_loops",
        slow=True,
    ),
    fault(
        "cases are resampled instead of sessions",
        RANK_RESULT,
        "cases.session_nums[mask], n_bootstrap",
        "np.flatnonzero(mask), n_bootstrap",
        "booked_rank::test_differences_are_paired_and_clusters_are_sessions",
        slow=True,
    ),
    fault(
        "positions with few cases are shown",
        RANK_RESULT,
        "if at.sum() >= min_cases else None",
        "if at.sum() else None",
        "booked_rank::test_positions_with_few_cases_are_hidden_and_a_thin_headline_is_called_so",
        slow=True,
    ),
    fault(
        "chance counts the item itself",
        NEIGHBOURS,
        "group_sizes[group_nums] - 1, pair_sizes[pair_nums.ravel()] - 1",
        "group_sizes[group_nums], pair_sizes[pair_nums.ravel()]",
        "probes::test_agreement_against_brute_force_and_chance",
    ),
    fault(
        "an item is its own neighbour",
        NEIGHBOURS,
        "        cosines[np.arange(len(part)), part] = -np.inf\n",
        "",
        "probes::test_agreement_against_brute_force_and_chance",
        slow=True,
    ),
    fault(
        "an item's cosine with itself is averaged in",
        "evaluation/probes.py",
        " - np.diag(norms.reshape(-1, n).sum(axis=0))",
        "",
        "probes::test_cosine_table_is_the_mean_over_all_pairs_of_one_market",
    ),
    fault(
        "the index is praised for finding the query",
        "evaluation/index_quality.py",
        "others = items[(items >= 0) & (items != own[row])][:k]",
        "others = items[items >= 0][:k]",
        "probes::test_index_recall",
        slow=True,
    ),
    fault(
        "chance purity is that of the clusters",
        "evaluation/geography.py",
        "_purity(rng.permutation(clusters), markets[rows])",
        "_purity(clusters, markets[rows])",
        "geography::test_planted_markets_and_quarters_are_found",
        slow=True,
    ),
]

SMALL_LOG = "small_logs::test_a_test_of_new_items_alone_is_no_silent_zero"
RUNS = [  # the guard refuses them
    fault(
        "the measured twin trains on the whole log",
        "run/measure.py",
        "train_twins(config, split.train,",
        "train_twins(config, open_sessions(inputs),",
        SMALL_LOG,
        slow=True,
    ),
    fault(
        "the baselines of a run are fitted on the whole log",
        "run/protocols.py",
        "fit_baselines(settings.baselines, split.train)",
        "fit_baselines(settings.baselines, open_sessions(inputs))",
        SMALL_LOG,
        slow=True,
    ),
    fault(
        "what re-ranks the booked listings is fitted on the whole log",
        "run/protocols.py",
        "Popularity().fit(split.train)",
        "Popularity().fit(open_sessions(inputs))",
        "tests/test_run_protocols.py::test_what_was_booked_is_ranked_in_its_search_and_in_its_market",
        slow=True,
    ),
]
