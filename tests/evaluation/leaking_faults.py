"""Faults that let the future, or the test itself, into what is measured."""

from __future__ import annotations

from faults import fault

SPLITS = "evaluation/splits.py"
LEAKS = "evaluation/leaks.py"

LEAKING = [
    fault(
        "sessions that start before T1 train, although they end behind it",
        SPLITS,
        "settled < t1, ",
        "starts < t1, ",
        "splits::test_cuts_and_straddlers",
        "splits::test_no_leak",
    ),
    fault(
        "a session that ends exactly at T1 trains",
        SPLITS,
        "settled < t1, ",
        "settled <= t1, ",
        "splits::test_a_session_that_ends_exactly_at_the_cut_is_not_training",
        slow=True,
    ),
    fault(
        "bookings after the cut are overlooked",
        SPLITS,
        "        np.maximum.at(settled, owners, sessions.booked_us)\n",
        "",
        "splits::test_a_booking_after_the_cut_keeps_its_session_out",
        "splits::test_no_leak",
    ),
    fault(
        "the items of the whole log show through",
        SPLITS,
        "train=_only_own_items(sessions.take(train)),",
        "train=sessions.take(train),",
        "splits::test_cuts_and_straddlers",
        "splits::test_no_leak",
    ),
    fault(
        "items of later sessions show through where there are no times",
        SPLITS,
        "train=_only_own_items(sessions.take(np.arange(first))),",
        "train=sessions.take(np.arange(first)),",
        "splits::test_sessions_without_times_are_cut_by_their_order",
        slow=True,
    ),
    fault(
        "items of later stays show through",
        SPLITS,
        "train=_only_own_items(train),",
        "train=train,",
        "splits::test_no_leak",
        slow=True,
    ),
    fault(
        "validation runs into the test",
        SPLITS,
        "(starts >= t1) & (settled < t2)",
        "starts >= t1",
        "splits::test_cuts_and_straddlers",
        "splits::test_no_leak",
    ),
    fault(
        "the attributes of other items describe the training items",
        SPLITS,
        "else sessions.items.take(rows)",
        "else sessions.items.slice(0, len(rows))",
        "splits::test_attributes_and_markets_follow_the_training_items",
        slow=True,
    ),
    fault(
        "booking sequences train on stays behind the cut",
        SPLITS,
        "early = sessions.ts_us < end_us",
        "early = sessions.start_us[np.repeat(np.arange(len(sessions)), np.diff(sessions.offsets))] < end_us",
        "splits::test_booking_sequences_are_cut_and_keep_their_past_as_history",
        "splits::test_no_leak",
        slow=True,
    ),
    fault(
        "stays that trained are asked for",
        SPLITS,
        "earlier = _count_per_session(cut.ts_us < start_us, cut.offsets)",
        "earlier = _count_per_session(cut.ts_us < start_us, cut.offsets) // 2",
        "splits::test_booking_sequences_are_cut_and_keep_their_past_as_history",
        "splits::test_no_leak",
    ),
    fault(
        "the guard lets training clicks lie behind the first target",
        LEAKS,
        "times.max() < target_us",
        "times.min() < target_us",
        "leaks::test_a_leak_is_refused_and_named",
    ),
    fault(
        "the guard overlooks bookings",
        LEAKS,
        '("bookings", train.booked_us)',
        '("bookings", None)',
        "leaks::test_a_leak_is_refused_and_named",
    ),
    fault(
        "the guard forgets which stays are targets",
        LEAKS,
        "np.maximum(first, 0)",
        "1",
        "leaks::test_both_sides_of_a_split_pass_with_every_baseline",
        slow=True,
    ),
    fault(
        "the guard lets scorers know items of the test",
        LEAKS,
        "    known[nums[here]] = seen[here]",
        "    known[nums[here]] = True",
        "leaks::test_a_leak_is_refused_and_named",
    ),
    fault(
        "the guard lets scorers count the test",
        LEAKS,
        "vocabulary.counts > clicks",
        "vocabulary.counts < 0",
        "leaks::test_a_leak_is_refused_and_named",
        "leaks::test_every_baseline_that_saw_the_test_is_refused",
    ),
    fault(
        "the guard looks at the first seed only",
        LEAKS,
        "enumerate(seeds, 1)",
        "enumerate(seeds[:1], 1)",
        "leaks::test_a_leak_is_refused_and_named",
        slow=True,
    ),
]
