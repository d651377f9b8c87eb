"""Faults in what is counted: ranks, metrics, intervals."""

from __future__ import annotations

from faults import Fault, fault

BOOTSTRAP = "evaluation/bootstrap.py"
CASES = "evaluation/next_item/cases.py"
FIGURES = "evaluation/next_item/figures.py"
METRICS = "evaluation/metrics.py"
NEXT_ITEM = "evaluation/next_item/protocol.py"
RANKS = "evaluation/ranks.py"

MEASURING = [
    Fault(
        "a tied target takes the best of the places it shares",
        (
            (RANKS, "0.5 * equal", "0.0 * equal"),
            (RANKS, "ranks[i] = 0.5 if known", "ranks[i] = 1.0 if known"),
        ),
        ("next_item::test_rank_of_the_target", "next_item::test_ranks_and_lists_agree_with_a_referee"),
        slow=True,
    ),
    fault(
        "a tied target takes the worst of the places it shares",
        RANKS,
        "greater += row[column] > score",
        "greater += row[column] >= score",
        "next_item::test_rank_of_the_target",
        slow=True,
    ),
    fault(
        "a target outside the answer has a rank",
        RANKS,
        "known = targets[i] >= 0 and row[targets[i]] > -np.inf",
        "known = targets[i] >= 0",
        "next_item::test_rank_of_the_target",
        "next_item::test_an_empty_answer_is_a_miss_and_no_luck",
        slow=True,
    ),
    fault(
        "lists prefer the last of equal items",
        RANKS,
        "while place > 0 and score > scores[place - 1]:",
        "while place > 0 and score >= scores[place - 1]:",
        "next_item::test_ranks_and_lists_agree_with_a_referee",
        slow=True,
    ),
    fault(
        "the k-th place is no hit",
        METRICS,
        "(self.ranks <= k)",
        "(self.ranks < k)",
        "metrics::test_one_relevant_item_by_hand",
        "metrics::test_several_relevant_items_by_hand",
    ),
    fault(
        "all of many tied items are hits",
        METRICS,
        " & (self.places <= k)",
        "",
        "metrics::test_more_tied_items_than_a_list_holds_are_not_all_hits",
        "metrics::test_no_metric_leaves_its_bounds",
        slow=True,
    ),
    fault(
        "MRR looks beyond k",
        METRICS,
        "found.total((found.places == 1) / found.ranks, k)",
        "found.total((found.places == 1) / found.ranks, 10**9)",
        "metrics::test_one_relevant_item_by_hand",
        "next_item::test_every_prefix_is_asked_and_planted_ranks_come_out",
    ),
    fault(
        "the discount is a natural logarithm",
        METRICS,
        "1.0 / np.log2(found.ranks + 1.0)",
        "1.0 / np.log(found.ranks + 1.0)",
        "metrics::test_one_relevant_item_by_hand",
        "metrics::test_several_relevant_items_by_hand",
    ),
    fault(
        "the discount starts one place late",
        METRICS,
        "np.arange(2, k + 2)",
        "np.arange(3, k + 3)",
        "metrics::test_one_relevant_item_by_hand",
        slow=True,
    ),
    fault(
        "the ideal list holds all relevant items, however short the list",
        METRICS,
        "ideal[np.minimum(found.sizes, k)]",
        "np.cumsum(1.0 / np.log2(np.arange(2, 99)))[found.sizes - 1]",
        "metrics::test_several_relevant_items_by_hand",
        slow=True,
    ),
    fault(
        "average precision forgets what was missed",
        METRICS,
        "found.places / found.ranks / found.sizes[found.cases]",
        "found.places / found.ranks",
        "metrics::test_several_relevant_items_by_hand",
    ),
    fault(
        "Recall is over the places of the list instead of the relevant items",
        METRICS,
        "return found.total(1.0 / found.sizes[found.cases], k)",
        "return found.total(1.0 / np.minimum(found.sizes, k)[found.cases], k)",
        "metrics::test_every_metric_agrees_with_ir_measures",
        slow=True,
    ),
    fault(
        "the relevant items of a case are taken in the order of their clicks",
        METRICS,
        "ranks[np.lexsort((ranks, cases))]",
        "ranks",
        "metrics::test_several_relevant_items_by_hand",
        slow=True,
    ),
    fault(
        "prefixes are resampled as if they were independent",
        BOOTSTRAP,
        "np.unique(clusters, return_inverse=True)",
        "np.unique(np.arange(len(clusters)), return_inverse=True)",
        "bootstrap::test_mean_is_over_cases_and_resamples_are_ratios_of_sums",
        "next_item::test_intervals_are_over_sessions_not_prefixes",
        slow=True,
    ),
    fault(
        "the protocol clusters by prefix",
        NEXT_ITEM,
        "cases.session_nums, n_bootstrap",
        "np.arange(len(cases)), n_bootstrap",
        "next_item::test_intervals_are_over_sessions_not_prefixes",
    ),
    fault(
        "the 5 and 95 percentiles for a 95 % interval",
        BOOTSTRAP,
        "[2.5, 97.5]",
        "[5, 95]",
        "bootstrap::test_seeds",
    ),
    fault(
        "sessions count equally, however many cases they have",
        BOOTSTRAP,
        "means = sums.sum(axis=0) / cases.sum(axis=0)",
        "means = (sums / cases).mean(axis=0)",
        "bootstrap::test_mean_is_over_cases_and_resamples_are_ratios_of_sums",
        slow=True,
    ),
    fault(
        "a single session gets an interval without width",
        BOOTSTRAP,
        "< 2] = np.nan",
        "< 1] = np.nan",
        "bootstrap::test_no_case_is_nan_and_one_session_has_no_interval",
        slow=True,
    ),
    fault(
        "methods are compared over other resamples",
        NEXT_ITEM,
        "cases.session_nums, n_bootstrap, seed)",
        "cases.session_nums, n_bootstrap, seed + len(means))",
        "next_item::test_differences_are_paired",
    ),
    fault(
        "only the first seed counts",
        FIGURES,
        "for one in answers], axis=0)\n        for name, metric",
        "for one in answers[:1]], axis=0)\n        for name, metric",
        "next_item::test_figures_are_averaged_over_seeds_and_kept_per_seed",
    ),
    fault(
        "the target stands in its own prefix",
        CASES,
        "self._stops = before[cases.starts + cases.positions]",
        "self._stops = before[cases.starts + cases.positions + 1]",
        "next_item::test_every_prefix_is_asked_and_planted_ranks_come_out",
        "next_item::test_unseen_items_are_misses_and_counted",
    ),
    fault(
        "unseen items take the place of known ones",
        CASES,
        "self._known_nums = nums[known]",
        "self._known_nums = nums",
        "known_answers::test_an_unknown_item_moves_no_known_one",
    ),
    fault(
        "stays before the cut are asked for",
        CASES,
        "first = np.ones(n, np.int64) if first_targets is None else",
        "first = np.ones(n, np.int64) if True else",
        "next_item::test_first_targets_keep_the_earlier_stays_as_history_only",
        slow=True,
    ),
    fault(
        "Recall is over the targets that the model knows",
        FIGURES,
        "metric(one.ranks, k, cases.offsets) for one in answers]",
        "np.where(one.knows_target, metric(one.ranks, k, cases.offsets), np.nan) for one in answers]",
        "next_item::test_unseen_items_are_misses_and_counted",
    ),
]
