"""Faults in the baselines."""

from __future__ import annotations

from faults import fault

COOCCURRENCE = "embeddings/cooccurrence.py"
PAIRS = "embeddings/pair_counts.py"
COUNTED = "tests/embeddings/test_embeddings_cooccurrence.py::"
ITEM_KNN = "evaluation/baselines/item_knn.py"
POPULARITY = "evaluation/baselines/popularity.py"
RULES = "evaluation/baselines/sequential_rules.py"
SESSION_KNN = "evaluation/baselines/session_knn.py"
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
        PAIRS,
        "starts = starts[left[starts] > distance]",
        "starts = starts[starts < len(items) - distance]",
        "baselines::test_sequential_rules_by_hand",
    ),
    fault(
        "rules weigh all distances the same",
        RULES,
        "near = 1 / np.arange(1, min(self.max_distance, longest - 1) + 1)",
        "near = np.ones(min(self.max_distance, longest - 1))",
        "baselines::test_sequential_rules_by_hand",
        slow=True,
    ),
    fault(
        "rules lead backwards",
        PAIRS,
        "items[starts], items[starts + distance])",
        "items[starts + distance], items[starts])",
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
        "scorers::test_a_batch_answers_as_one_by_one",
        slow=True,
    ),
    fault(
        "types follow each other from user to user",
        TYPES,
        "pairs = users[1:] == users[:-1]",
        "pairs = users[1:] >= users[:-1]",
        "types::test_type_transitions_agree_with_plain_python",
        slow=True,
    ),
    fault(
        "co-occurrence counts across the wall between sessions",
        PAIRS,
        "starts = starts[left[starts] > distance]",
        "starts = starts[starts < len(items) - distance]",
        COUNTED + "test_with_every_dimension_the_vectors_give_the_information_back",
        slow=True,
    ),
    fault(
        "the shift is added",
        COOCCURRENCE,
        "- np.log(self.negative)",
        "+ np.log(self.negative)",
        COUNTED + "test_with_every_dimension_the_vectors_give_the_information_back",
        slow=True,
    ),
]
