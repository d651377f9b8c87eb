# %% [markdown]
# # 3 · How good is it, and is that more than chance?
#
# A figure of quality is only worth as much as what it is compared with. So everything here is measured on
# days that no model has seen, beside baselines that are hard to beat, with intervals that say how much of a
# difference may be chance.
#
# *Which log:* the simulated marketplace, or what `ITEM2VEC_NOTEBOOK_DATA` names (`sample`, `google_merch`,
# `trivago`). The figures below are of one training each and of a small world: read them for what they
# compare, not as a record.

# %%
import matplotlib.pyplot as plt
import numpy as np

import item2vec as i2v
from cards import say
from drawing import BLUE, GREEN, GREY, INK, MARKERS, ORANGE, PALETTE, RED, intervals, legend_beside, style
from item2vec.evaluation import fit_baselines, search_lists, split_sessions
from logs import is_small, open_log

style()
log = open_log(unfit=["airbnb_reviews"])
say(log.says)
sessions = log.sessions()
RESAMPLES = 200 if is_small() else 1000

# %% [markdown]
# ## Two cuts in time
#
# Sessions that ended before the first cut train the models; those between the cuts are left for choosing
# settings; those after the second are asked for **once**. A session that lies across the first cut belongs
# to nobody. A random split would let tomorrow's clicks explain today's, and flatter every model.

# %%
split = split_sessions(sessions, validation=0.1, test=0.2)
DAY_US = 86_400_000_000
first_day = sessions.start_us.min() // DAY_US
figure, axes = plt.subplots(figsize=(9, 2.8))
below = np.zeros(int(sessions.start_us.max() // DAY_US - first_day) + 1)
for name, part, colour in (
    ("train", split.train, BLUE),
    ("validation", split.validation, GREY),
    ("test", split.test, ORANGE),
):
    per_day = np.bincount(part.start_us // DAY_US - first_day, minlength=len(below))
    axes.bar(
        range(len(below)), per_day, bottom=below, width=0.9, color=colour, label=f"{name}: {len(part):,}"
    )
    below += per_day
for cut in (split.t1_us, split.t2_us):
    axes.axvline(cut / DAY_US - first_day - 0.5, color=INK, linewidth=1.5)
axes.grid(axis="x", visible=False)
axes.set_xlabel("day of the log")
axes.set_ylabel("sessions that start")
legend_beside(axes)
plt.show()

# %% [markdown]
# ## Where in the list is the next click?
#
# After every click of every test session each model ranks **all** listings, and we look where the next
# click stands. *Recall@20*: in how many cases it is among the first twenty. *MRR@20*: how far up (1 over
# its place). The bars are 95 % intervals over sessions. Popularity shows what one gets for nothing;
# session-kNN, which looks for similar past sessions each time, is the one to respect: it keeps the whole
# log at hand, item2vec keeps one vector per listing.

# %%
training = log.train(split.train)
vectors = training.item_vectors_
rec = i2v.Recommender(vectors, items=sessions.items)
baselines = ["popularity", "market_popularity", "item_knn", "sequential_rules", "session_knn"]
scorers = {"item2vec": rec, **fit_baselines(baselines, split.train)}
result = i2v.evaluate_next_item(scorers, split.test, train=split.train, n_bootstrap=RESAMPLES)
order = sorted(result.scorers, key=lambda name: -result.scorers[name].recall.value)
figure, panels = plt.subplots(1, 2, figsize=(10.5, 0.42 * len(order) + 1.3), sharey=True)
for axes, metric in zip(panels, ("recall", "mrr"), strict=True):
    shown = {name: getattr(result.scorers[name], metric) for name in order}
    intervals(axes, shown, {"item2vec": BLUE})
    axes.set_xlim(left=0)
    axes.set_xlabel(f"{'Recall' if metric == 'recall' else 'MRR'}@{result.k}, %")
figure.suptitle(f"{result.n_prefixes:,} prefixes of {result.n_sessions:,} test sessions", x=0.02, ha="left")
plt.show()

# %% [markdown]
# ## Model against model, case by case
#
# Two intervals that overlap may still hide a sure difference: both models met the same sessions, the easy
# and the hard ones alike. So the question is asked in pairs. **Right of zero item2vec is better, left of it
# worse; where the bar crosses zero, this test cannot tell.**

# %%
paired = [one for one in result.differences if one.a == "item2vec"]
figure, panels = plt.subplots(1, 2, figsize=(10.5, 0.42 * len(paired) + 1.3), sharey=True)
for axes, metric in zip(panels, ("recall", "mrr"), strict=True):
    rows = {f"item2vec − {one.b}": getattr(one, metric) for one in paired}
    verdict = {
        name: GREEN if found.low > 0 else RED if found.high < 0 else GREY for name, found in rows.items()
    }
    intervals(axes, rows, verdict)
    axes.axvline(0, color=INK, linewidth=1.2)
    axes.set_xlabel(f"difference in {'Recall' if metric == 'recall' else 'MRR'}@{result.k}, points")
plt.show()
words = {True: "better than", False: "worse than", None: "not to be told from"}
verdicts = [(one.b, True if one.recall.low > 0 else False if one.recall.high < 0 else None) for one in paired]
for kind, word in words.items():
    names = [name.replace("_", " ") for name, found in verdicts if found is kind]
    if names:
        say(f"By Recall, item2vec is **{word}** {', '.join(names)}.")

# %% [markdown]
# ## How long must the list be?
#
# The same for every length of list. A page shows five or ten listings, a carousel twenty: the model that
# wins at one length need not win at another.

# %%
figure, axes = plt.subplots(figsize=(8.6, 4))
for name, colour, marker in zip(result.scorers, PALETTE, MARKERS, strict=False):
    curve = result.recall_curve(name)
    axes.plot(
        np.arange(1, len(curve) + 1),
        curve,
        color=colour,
        marker=marker,
        markevery=[0, 1, 4, 9, 19, 49, 99],
        linewidth=2.6 if name == "item2vec" else 1.6,
        label=name.replace("_", " "),
    )
axes.set_xscale("log")
axes.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
axes.minorticks_off()
axes.set_ylim(bottom=0)
axes.set_xlabel("length of the list, k (logarithmic)")
axes.set_ylabel("Recall@k, %")
legend_beside(axes)
plt.show()

# %% [markdown]
# ## For whom is it good?
#
# One mean hides much. *Head, torso, tail*: the next click is on one of the listings that together have the
# first half of all clicks, the next 30 %, or the rest. *Cold*: on one with hardly a click in training (for
# those there is `ColdStart`). *Repeat*: it goes back to something already clicked; *new*: it does not. A
# model that lives off the head looks good on average and shows everyone the same.

# %%
named = ("head", "torso", "tail", "cold", "repeat", "new")
slices = [name for name in named if result.scorers["item2vec"].slices[name].n > 0]
compared = [
    name for name in ("item2vec", "session_knn", "market_popularity", "popularity") if name in scorers
]
figure, axes = plt.subplots(figsize=(9.6, 3.8))
shifts = np.linspace(-0.24, 0.24, len(compared))
for shift, name, colour, marker in zip(shifts, compared, (BLUE, ORANGE, GREEN, GREY), MARKERS, strict=False):
    found = [result.scorers[name].slices[part].recall for part in slices]
    at = np.arange(len(slices)) + shift
    value, low, high = (np.array([getattr(one, key) for one in found]) for key in ("value", "low", "high"))
    axes.vlines(at, low, high, color=colour, linewidth=3, alpha=0.5)
    axes.plot(at, value, marker, color=colour, markersize=8, label=name.replace("_", " "))
counts = [result.scorers["item2vec"].slices[part].n for part in slices]
labels = [f"{part.replace('_', ' ')}\nn = {n:,}" for part, n in zip(slices, counts, strict=True)]
axes.set_xticks(range(len(slices)), labels)
axes.set_ylim(bottom=-1)
axes.grid(axis="x", visible=False)
axes.set_ylabel(f"Recall@{result.k}, %")
legend_beside(axes)
plt.show()
item2vec = result.scorers["item2vec"]
say(
    f"item2vec shows {item2vec.coverage:.0f} % of the catalogue in some list, popularity"
    f" {result.scorers['popularity'].coverage:.0f} %."
)

# %% [markdown]
# ## The booked listing, click by click (the paper's Fig. 6)
#
# The paper's own test: take a session that ended in a booking, walk back from it, and let each click rank
# the candidates. Where does the listing that was booked in the end stand? **Lower is better. Compare the
# lines at one place, not a line with itself**: only clicks before the first one on the booked listing count
# (afterwards it is no art), so who is still searching one click before the end is a guest of another kind
# than who is eight clicks before it. The shaded band is the interval of eq. 5.
#
# Eq. 3 is plain skip-gram; eq. 4 lets every click of a session learn its booking; eq. 5 adds negatives from
# the same market, so that vectors must tell listings of one city apart. Dashed: popularity, and production's
# own order where the log has it.

# %%
EQUATIONS = {
    "eq. 3": {"market_negative": 0},
    "eq. 4": {"market_negative": 0},
    "eq. 5": {"market_negative": log.training.get("market_negative") or 5},
}
unbooked = i2v.Sessions.from_lists(
    split.train.to_lists(),
    markets={
        item: split.train.market_names[number]
        for item, number in zip(split.train.item_ids.to_pylist(), split.train.markets, strict=True)
        if number >= 0
    },
)
equations = {}
for name, changes in EQUATIONS.items():
    trained = log.train(unbooked if name == "eq. 3" else split.train, **changes)
    equations[name] = i2v.Recommender(trained.item_vectors_)
lines = {**equations, "popularity": scorers["popularity"]}
searches = search_lists(log.events, split.test)
choices = {"of the market": None}
if len(searches):
    choices = {"of the guest's own searches": searches, **choices}
FEWEST = 10 if is_small() else 40
booked = {
    name: i2v.booked_rank(
        lines,
        split.test,
        train=split.train,
        searches=lists,
        pooled=False,
        min_cases=FEWEST,
        max_position=12,
        n_bootstrap=RESAMPLES,
    )
    for name, lists in choices.items()
}
LOOKS = {
    "eq. 3": (PALETTE[1], "o-"),
    "eq. 4": (PALETTE[2], "s-"),
    "eq. 5": (PALETTE[0], "D-"),
    "popularity": (GREY, "^--"),
    "production order": (INK, "v--"),
}
figure, panels = plt.subplots(1, len(booked), figsize=(5.4 * len(booked), 4.2), squeeze=False)
for axes, (name, found) in zip(panels[0], booked.items(), strict=True):
    for line, curves in found.curves.items():
        points = {at: one.mean_rank for at, one in curves["before"].by_position.items() if one.mean_rank}
        colour, marks = LOOKS[line]
        at = np.array(list(points))
        axes.plot(at, [one.value for one in points.values()], marks, color=colour, label=line, markersize=6)
        if line == "eq. 5" and len(at):
            spread = [(one.low, one.high) for one in points.values()]
            axes.fill_between(at, *np.array(spread).T, color=colour, alpha=0.15, linewidth=0)
    axes.set_xlim(axes.get_xlim()[::-1])
    axes.xaxis.set_major_locator(plt.MaxNLocator(integer=True))
    axes.set_xlabel("clicks before the booking")
    n = int(found.cases.before.sum())
    axes.set_title(
        f"Among listings {name}\n{n:,} cases, {found.cases.n_candidates.mean():.0f} candidates each"
    )
panels[0, 0].set_ylabel("mean rank of the booked listing\n(1 is the top; lower is better)")
handles = panels[0, 0].get_legend_handles_labels()  # production's order may be in the first picture only
panels[0, -1].legend(*handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
plt.show()

# %% [markdown]
# ## What each equation brings
#
# The same, over all those clicks and in pairs: the step from one equation to the next, and the model
# against the plain orders. **Below zero the first one is better.** Two plain orders must be seen beside a
# model: production's, which knows more than clicks, and popularity, which is strong among all listings of a
# market.

# %%
figure, panels = plt.subplots(1, len(booked), figsize=(5.6 * len(booked), 3), squeeze=False)
for axes, (name, found) in zip(panels[0], booked.items(), strict=True):
    known = {(one.a, one.b): one.mean_rank for one in found.differences if one.curve == "before"}
    signs = {(b, a): (one, -1) for (a, b), one in known.items()} | {
        pair: (one, 1) for pair, one in known.items()
    }
    rows, verdict = {}, {}
    for a, b in (
        ("eq. 4", "eq. 3"),
        ("eq. 5", "eq. 4"),
        ("eq. 5", "eq. 3"),
        ("eq. 5", "popularity"),
        ("eq. 5", "production order"),
    ):
        if (a, b) in signs:
            one, sign = signs[a, b]
            low, high = sorted((sign * one.low, sign * one.high))
            rows[f"{a} − {b}"] = type(one)(sign * one.value, low, high)
            verdict[f"{a} − {b}"] = GREEN if high < 0 else RED if low > 0 else GREY
    intervals(axes, rows, verdict)
    axes.axvline(0, color=INK, linewidth=1.2)
    axes.set_title(f"Among listings {name}")
    axes.set_xlabel("difference in mean rank (below 0: better)")
plt.show()
for name, found in booked.items():
    if found.insufficient:
        say(f"*Among listings {name}: {found.insufficient}.*")
