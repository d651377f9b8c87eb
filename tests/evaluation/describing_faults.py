"""Faults in what is said beside the metrics: slices, lists, probes, two runs side by side."""

from __future__ import annotations

from faults import fault

COMPARED = "tests/test_compare.py::"
FIGURES = "evaluation/next_item/figures.py"
LISTS = "evaluation/next_item/lists.py"
NEIGHBOURS = "evaluation/probes/neighbours.py"
NEXT_ITEM = "evaluation/next_item/protocol.py"
PAIRED = "run/paired.py"
SLICES = "evaluation/next_item/slices.py"

DESCRIBING = [
    fault(
        "coverage is of the scorer's own items",
        FIGURES,
        "coverage(one, n_catalogue)",
        "coverage(one, len(one))",
        "next_item::test_scorers_with_other_vocabularies_share_one_catalogue",
        slow=True,
    ),
    fault(
        "no case is a coverage of 0",
        FIGURES,
        '        if len(cases)\n        else float("nan"),\n        gini',
        '        if True\n        else float("nan"),\n        gini',
        "next_item::test_all_test_items_unseen_is_zero_with_its_reason_and_no_case_is_nan",
        "bad_input::test_next_item",
        slow=True,
    ),
    fault(
        "the lift is upside down",
        FIGURES,
        "popularity[1] / targets[1] - 1",
        "targets[1] / popularity[1] - 1",
        "known_answers::test_popularity_lists_what_is_clicked_more",
    ),
    fault(
        "a list is popular by the sum of its items",
        LISTS,
        '"popularity": (np.where(listed, self.clicks[lists], 0).sum(axis=1), lengths),',
        '"popularity": (np.where(listed, self.clicks[lists], 0).sum(axis=1), np.minimum(lengths, 1)),',
        "lists::test_figures_by_hand",
        slow=True,
    ),
    fault(
        "novelty counts clicks instead of sessions",
        LISTS,
        "np.maximum(self.sessions_with, 1) / self.n_sessions",
        "np.maximum(self.clicks, 1) / self.clicks.sum()",
        "lists::test_figures_by_hand",
        slow=True,
    ),
    fault(
        "Gini is over n instead of n − 1",
        LISTS,
        "/ ((n_items - 1) * total)",
        "/ (n_items * total)",
        "lists::test_gini_by_hand",
        "lists::test_gini_is_the_mean_absolute_difference",
        slow=True,
    ),
    fault(
        "coverage forgets the items that were never listed",
        LISTS,
        "int(np.count_nonzero(times_recommended)) / n_items",
        "int(np.count_nonzero(times_recommended)) / len(times_recommended)",
        "lists::test_coverage_by_hand",
        slow=True,
    ),
    fault(
        "similarity is called diversity",
        LISTS,
        '"diversity": (pairs - self._cosines(lists), pairs),',
        '"diversity": (self._cosines(lists), pairs),',
        "lists::test_figures_by_hand",
        "lists::test_diversity_agrees_with_loops",
        slow=True,
    ),
    fault(
        "an item of five clicks is cold",
        SLICES,
        "clicks[targets] < WARM_CLICKS",
        "clicks[targets] <= WARM_CLICKS",
        "slices::test_cases_by_hand",
        slow=True,
    ),
    fault(
        "the head is the first half of the items",
        SLICES,
        "(np.cumsum(counts[order]) - counts[order]) / max(int(counts.sum()), 1)",
        "np.arange(len(counts)) / len(counts)",
        "slices::test_head_is_half_of_the_clicks",
    ),
    fault(
        "another session's clicks are repeats",
        SLICES,
        "(nums[1:] == nums[:-1]) & (tokens[1:] == tokens[:-1])",
        "tokens[1:] == tokens[:-1]",
        "known_answers::test_a_click_of_another_session_is_no_repeat",
        slow=True,
    ),
    fault(
        "the target warms its own history",
        SLICES,
        "history_cold = before[places] ==",
        "history_cold = before[places + 1] ==",
        "slices::test_cases_by_hand",
        slow=True,
    ),
    fault(
        "targets that training never saw are in no slice",
        NEXT_ITEM,
        '    slices["tail"] |= tokens < 0\n',
        "",
        "next_item::test_slices_are_parts_of_the_whole",
        slow=True,
    ),
    fault(
        "chance counts the item itself",
        NEIGHBOURS,
        "counts.append(sizes[nums.ravel()] - itself)",
        "counts.append(sizes[nums.ravel()])",
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
        "evaluation/probes/probe.py",
        " - np.diag(norms.reshape(-1, n).sum(axis=0))",
        "",
        "probes::test_cosine_table_is_the_mean_over_all_pairs_of_one_market",
        slow=True,
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
        "evaluation/probes/geography.py",
        "_purity(rng.permutation(clusters), markets[rows])",
        "_purity(clusters, markets[rows])",
        "geography::test_planted_markets_and_quarters_are_found",
        slow=True,
    ),
    fault(
        "two runs are compared as A − B",
        PAIRED,
        "interval(value_b - value_a, resamples_b - resamples_a)",
        "interval(value_a - value_b, resamples_a - resamples_b)",
        COMPARED + "test_the_paired_figures_are_those_computed_by_hand",
        slow=True,
    ),
    fault(
        "two runs are compared over cases instead of sessions",
        PAIRED,
        'clusters = a["session_id"].to_numpy()[rows[:, 0]]',
        "clusters = np.arange(len(rows))",
        COMPARED + "test_the_paired_figures_are_those_computed_by_hand",
        slow=True,
    ),
    fault(
        "cases with another past are taken for the same",
        PAIRED,
        "rows[positions - place == first]",
        "rows",
        COMPARED + "test_only_cases_of_the_same_prefix_are_common",
        slow=True,
    ),
]
