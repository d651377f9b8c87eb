# %% [markdown]
# # 5 · Better settings, found on days that the test never sees
#
# How large should a vector be, how wide the window, how much should an older click count? There is no
# answer for every log. `i2v.tune` looks for yours: it trains with many settings, gives the hopeless ones up
# early, and ranks the rest on sessions that no training has seen. What it found is then tested once, on
# days that the search has not seen either.
#
# *Which log:* the simulated marketplace, or what `ITEM2VEC_NOTEBOOK_DATA` names (`sample`, `google_merch`,
# `trivago`). To run it: `pip install 'item2vec[tune,notebooks]'`. A search of two minutes in a small world:
# read the figures for what they compare, not as a record.

# %%
import matplotlib.pyplot as plt
import numpy as np

import item2vec as i2v
from cards import Raw, say, show, table
from drawing import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALETTE,
    RED,
    SKY,
    VIOLET,
    intervals,
    legend_beside,
    style,
)
from item2vec.evaluation import fit_baselines, neighbour_agreement, split_sessions
from item2vec.tuning import DEFAULT_SPACE, Choice, Range, TuneConfig
from logs import is_small, open_log

style()
log = open_log(unfit=["airbnb_reviews"])
say(log.says)
sessions = log.sessions()
split = split_sessions(sessions, validation=0.1, test=0.2)
RESAMPLES = 200 if is_small() else 1000
K = 20
LOOKS = {
    "defaults": GREY,
    "run file": INK,
    "tuned": BLUE,
    "tuned, by MRR": SKY,
    "hybrid": VIOLET,
    "session knn": ORANGE,
}
say(
    f"{len(split.train):,} sessions to train on, {len(split.validation):,} to choose settings on"
    f" (validation), {len(split.test):,} for the test, in this order of time."
)

# %% [markdown]
# ## Where we start
#
# `i2v.Item2Vec()` as it comes, on the validation sessions: after every click, is the next one among the
# first twenty of all listings (*Recall@20*), and how far up is it (*MRR@20*, the mean of 1 over its place)?
# Beside it what somebody chose by hand for this log (the run file), popularity, which costs nothing, and
# session-kNN, which keeps the whole log at hand and is hard to beat.

# %%
START = {"workers": 1, "seed": 1, "min_count": log.training.get("min_count", 1)}  # one thread: the same again
if is_small():
    START |= {"epochs": 4}
defaults = i2v.Item2Vec(**START).fit(split.train, show_progress=False).item_vectors_
by_hand = log.train(split.train).item_vectors_
baselines = fit_baselines(["popularity", "session_knn"], split.train)
known = {
    "defaults": i2v.Recommender(defaults),
    "run file": i2v.Recommender(by_hand),
    "session knn": baselines["session_knn"],
    "popularity": baselines["popularity"],
}
METRICS = ("recall", "mrr")
TITLES = {"recall": f"Recall@{K}, %", "mrr": f"MRR@{K}, %"}


def measure(scorers, on, resamples=RESAMPLES):
    return i2v.evaluate_next_item(scorers, on, train=split.train, k=K, n_bootstrap=resamples)


def draw_scores(result):
    figure, panels = plt.subplots(1, 2, figsize=(10.5, 0.42 * len(result.scorers) + 1.3), sharey=True)
    for axes, metric in zip(panels, METRICS, strict=True):
        rows = {name: getattr(one, metric) for name, one in result.scorers.items()}
        intervals(axes, rows, LOOKS)
        axes.set_xlim(left=0)
        axes.set_xlabel(TITLES[metric])
    return figure


before = measure(known, split.validation)
figure = draw_scores(before)
figure.suptitle(
    f"validation: {before.n_prefixes:,} prefixes of {before.n_sessions:,} sessions", x=0.02, ha="left"
)
plt.show()

# %% [markdown]
# ## How clicks become scores
#
# Before anything is trained again there is something that costs no training: how a history is read.
# `i2v.HistoryScoring` says it in five numbers.
#
# - **decay**: the query is the weighted mean of the clicked listings' vectors; a click weighs so much of
#   the one after it. 1: all alike; near 0: only the last one.
# - **popularity**: how much of the logarithm of its clicks is added to a listing's score. Training by
#   negative sampling takes popularity out of the vectors (0 leaves it out), and a next click has much of
#   it.
# - **temperature, repeat_last, repeat_earlier**: guests come back to what they have clicked. Scores become
#   probabilities (a softmax, at that temperature), and the history's own listings get some on top. Unset,
#   the two follow from how often the training sessions came back.

# %%
figure, axes = plt.subplots(figsize=(8.6, 2.9))
CLICKS = 8
for decay, colour, marker in zip((1.0, 0.8, 0.5, 0.2), PALETTE, "osD^", strict=False):
    weights = i2v.HistoryScoring(decay=decay).weights(CLICKS)
    axes.plot(range(-CLICKS + 1, 1), 100 * weights, marker=marker, color=colour, label=f"{decay:g}")
axes.set_xticks(range(-CLICKS + 1, 1), [*(str(one) for one in range(-CLICKS + 1, 0)), "last click"])
axes.set_ylabel("weight in the query, %")
axes.set_ylim(bottom=0)
legend_beside(axes, "decay")
plt.show()

# %% [markdown]
# The same vectors, the validation sessions, one number turned at a time. The dot is what it is when nothing
# is said, the band is the 95 % interval. **Two metrics need not agree on the best value**, so decide first
# what a product needs: a carousel of twenty (Recall), or the right listing on top (MRR). And where one line
# is flat, a search by that metric leaves the number to chance, at the cost of the other.

# %%
FEW = is_small()
VALUES = {
    "popularity": np.linspace(0, 1.5, 4 if FEW else 13),
    "decay": np.array([0.05, 0.5, 1.0])
    if FEW
    else np.array([0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]),
    "repeat_last": np.linspace(0, 0.3, 3 if FEW else 7),
    "repeat_earlier": np.linspace(0, 0.3, 3 if FEW else 7),
}
plain = i2v.HistoryScoring()
told = plain.repeats(defaults.repeats)
USUAL = {
    "popularity": plain.popularity,
    "decay": plain.decay,
    "repeat_last": told.last,
    "repeat_earlier": told.earlier,
}


def figures_of(**scoring):
    scorer = i2v.Recommender(defaults, scoring=i2v.HistoryScoring(**scoring))
    return measure({"it": scorer}, split.validation, 200).scorers["it"]


swept = {name: [figures_of(**{name: float(one)}) for one in values] for name, values in VALUES.items()}
usual = before.scorers["defaults"]
figure, panels = plt.subplots(2, len(VALUES), figsize=(12, 5.4), sharex="col", sharey="row")
for row, metric, colour in zip(panels, METRICS, (BLUE, GREEN), strict=True):
    for axes, (name, values) in zip(row, VALUES.items(), strict=True):
        found = [getattr(one, metric) for one in swept[name]]
        axes.plot(values, [one.value for one in found], color=colour, linewidth=2)
        axes.fill_between(
            values,
            [one.low for one in found],
            [one.high for one in found],
            color=colour,
            alpha=0.13,
            linewidth=0,
        )
        axes.plot(USUAL[name], getattr(usual, metric).value, "o", color=INK, markersize=7)
    row[0].set_ylabel(TITLES[metric])
for axes, name in zip(panels[1], VALUES, strict=True):
    axes.set_xlabel(name)
plt.show()
for metric in METRICS:
    best = {
        name: max(zip(VALUES[name], swept[name], strict=True), key=lambda one: getattr(one[1], metric).value)
        for name in ("popularity", "decay")
    }
    told_best = " and ".join(
        f"{name} {at:.2g} ({getattr(one, metric).value:.1f} %)" for name, (at, one) in best.items()
    )
    say(f"By {metric.capitalize() if metric == 'recall' else 'MRR'} the best, each alone: {told_best}.")

# %% [markdown]
# ## The search
#
# Trial 0 is the start itself, so the result cannot be worse on the validation sessions. Each further trial
# is proposed by what the earlier ones told (optuna's TPE), trained, and **given up** when it lies behind
# after a quarter, half or three quarters of its epochs. Of every training several scorings are tried, as
# they cost next to nothing. With `study_path=` a search that was killed goes on where it was; the same from
# a terminal: `item2vec tune my.toml --budget 30m`.

# %%
space = {**DEFAULT_SPACE, "train.vector_size": Choice((32, 64))}
how = {"n_bootstrap": RESAMPLES}
if is_small():
    space |= {"train.vector_size": Choice((32,)), "train.epochs": Range(3, 6)}
    how |= {"validation_sessions": 150, "pruning_sessions": 60, "scorings": 2}
found = i2v.tune(
    split.train,
    split.validation,
    base=START,
    space=space,
    n_trials=5 if is_small() else 25,
    config=TuneConfig(**how),
)
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4), width_ratios=[3, 2])
done = [one for one in found.trials if one.state in ("complete", "repeat") and one.value is not None]
given_up = [one.number for one in found.trials if one.value is None]
at, value = np.array([one.number for one in done]), np.array([one.value for one in done])
left.plot(at[1:], value[1:], "o", color=BLUE, markersize=6, label="trained to the end")
left.plot(at[:1], value[:1], "D", color=GREY, markersize=8, label="the start")
left.step(
    [*at, len(found.trials) - 1],
    [*np.maximum.accumulate(value), value.max()],
    where="post",
    color=GREEN,
    linewidth=2,
    label="best so far",
)
floor = value.min() - 0.08 * max(np.ptp(value), 1)
left.plot(given_up, [floor] * len(given_up), "x", color=ORANGE, markersize=7, label="given up early")
left.xaxis.set_major_locator(plt.MaxNLocator(integer=True))
left.set_xlabel("trial")
left.set_ylabel(f"{found.metric} on the validation sample, %")
left.legend(
    loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, borderaxespad=0.2, columnspacing=1, fontsize=10
)
weighty = sorted(found.importances.items(), key=lambda one: one[1])
right.barh([name.split(".")[1] for name, _ in weighty], [100 * one for _, one in weighty], color=BLUE)
right.grid(axis="y", visible=False)
right.set_xlabel("share in the differences between trials, %")
plt.show()
say(
    f"{found.counts()}. {found.metric} on all {found.n_prefixes:,} validation prefixes: {found.base_score} at"
    f" the start, {found.score} in the end; in pairs **{found.gain}** points. Scoring alone, on the start's"
    f" vectors, gained {found.scoring_gain:.2f}."
)

# %% [markdown]
# The settings that were searched, those that won, and the runners-up. **Where the runners-up differ among
# themselves, the setting hardly matters**; where they agree against the start, it does.

# %%
best = sorted((one for one in done if one.state == "complete"), key=lambda one: -one.value)[:3]


def written(value):
    return (
        f"{value:.3g}"
        if isinstance(value, float)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )


def cell(value, start):
    text = written(value)
    return text if text == written(start) else Raw(f"<b>{text}</b>")


columns = ["", "searched", "start", "chosen", *(f"trial {one.number}" for one in best)]
winners = (found.settings, *(one.settings for one in best))
rows = [
    [
        name,
        str(space[name]),
        written(found.base[name]),
        *(cell(one[name], found.base[name]) for one in winners),
    ]
    for name in found.searched
]
scores = [f"{one:.2f}" for one in (found.base_score.value, found.score.value)]
show(table(columns, [[f"{found.metric}, %", "", *scores, *(f"{one.value:.2f} *" for one in best)], *rows]))
say("*Bold: other than at the start. Starred: on the sample that trials are compared on.*")

# %% [markdown]
# ## The same vectors, read for the top of the list
#
# Recall asks whether the next click is among the twenty, not where. A scoring that was chosen by it may
# leave the top of the list to chance, so here is a second search: by MRR, of the scoring alone, on the
# training that has just won.

# %%
read = {name: one for name, one in DEFAULT_SPACE.items() if name.startswith("scoring.")}
how |= {"metric": "mrr", "scorings": 2 if is_small() else 10}
top = i2v.tune(
    split.train, split.validation, base=found.settings, space=read, n_trials=1, config=TuneConfig(**how)
)
show(
    table(
        ["", *top.scoring],
        [
            [what, *(written(one) for one in scoring.values())]
            for what, scoring in (("chosen by Recall", found.scoring), ("chosen by MRR", top.scoring))
        ],
    )
)
say(f"{top.metric} on the validation sessions: {top.base_score} before, {top.score} now.")

# %% [markdown]
# ## The test, opened once
#
# The best of many looks better on the sessions that chose it than it is. So now, and only now, the test.
# Beside the tuned model (scored as Recall chose, and as MRR chose) stands a **hybrid**: the second one's
# probabilities mixed with the votes of session-kNN, the weights of the parts learned on the validation
# sessions.

# %%
tuned_model = i2v.Item2Vec(**found.train).fit(split.train, show_progress=False)
tuned = i2v.Recommender(tuned_model.item_vectors_, scoring=i2v.HistoryScoring(**found.scoring))
by_mrr = i2v.Recommender(tuned_model.item_vectors_, scoring=i2v.HistoryScoring(**top.scoring))
hybrid = i2v.Hybrid(by_mrr, baselines["session_knn"]).fit(split.validation)
lines = {"hybrid": hybrid, "tuned, by MRR": by_mrr, "tuned": tuned, **known}
result = measure(lines, split.test)
figure = draw_scores(result)
figure.suptitle(f"test: {result.n_prefixes:,} prefixes of {result.n_sessions:,} sessions", x=0.02, ha="left")
plt.show()

# %% [markdown]
# In pairs, as all of them met the same sessions. **Right of zero the first one is better; where the bar
# crosses zero, this test cannot tell.**

# %%
PAIRS = (
    ("tuned", "defaults"),
    ("tuned", "run file"),
    ("tuned, by MRR", "defaults"),
    ("tuned, by MRR", "tuned"),
    ("tuned", "session knn"),
    ("hybrid", "tuned, by MRR"),
    ("hybrid", "session knn"),
)
by_pair = {(one.a, one.b): one for one in result.differences}
figure, panels = plt.subplots(1, 2, figsize=(10.5, 0.42 * len(PAIRS) + 1.3), sharey=True)
for axes, metric in zip(panels, METRICS, strict=True):
    rows = {f"{a} − {b}": getattr(by_pair[a, b], metric) for a, b in PAIRS}
    verdict = {name: GREEN if one.low > 0 else RED if one.high < 0 else GREY for name, one in rows.items()}
    intervals(axes, rows, verdict)
    axes.axvline(0, color=INK, linewidth=1.2)
    axes.set_xlabel(f"difference in {TITLES[metric].split(',')[0]}, points")
plt.show()
gained = by_pair["tuned", "defaults"].recall
say(
    f"The search promised {found.gain.value:+.2f} points of Recall over the defaults; the test gives"
    f" **{gained.value:+.2f}** [{gained.low:.2f}, {gained.high:.2f}]. In MRR, which it was not asked for,"
    f" it is {by_pair['tuned', 'defaults'].mrr}; with the scoring chosen by MRR"
    f" {by_pair['tuned, by MRR', 'defaults'].mrr}."
)
beyond = by_pair["hybrid", "tuned, by MRR"]
for metric, one in (("Recall", beyond.recall), ("MRR", beyond.mrr)):
    verdict = "better than" if one.low > 0 else "worse than" if one.high < 0 else "not to be told from"
    say(f"By {metric} the hybrid is **{verdict}** its embedding alone: {one} points.")

# %% [markdown]
# Whom does the hybrid trust? The parts' weights, under which the validation sessions are most likely. The
# embedding is there at several temperatures (sharp to flat), the sessions once as they vote and once
# without what the guest has clicked already, and coming back to a click counts by itself. A part that knows
# nothing of its own ends with no weight.

# %%
figure, axes = plt.subplots(figsize=(8.6, 3.4))
KINDS = {"embedding": BLUE, "sessions": ORANGE, "popular": GREY}  # the others: coming back to a click
for number, (name, weight) in enumerate(hybrid.weights_.items()):
    axes.barh(number, 100 * weight, color=KINDS.get(name.split(",")[0], GREEN), height=0.7)
    if weight >= 0.005:
        axes.text(100 * weight + 0.6, number, f"{weight:.0%}", va="center", color=INK, fontsize=10)
axes.set_yticks(range(len(hybrid.weights_)), list(hybrid.weights_))
axes.invert_yaxis()
axes.set_xlim(0, 100 * max(hybrid.weights_.values()) + 6)
axes.grid(axis="y", visible=False)
axes.set_xlabel("weight, %")
plt.show()

# %% [markdown]
# ## What it costs elsewhere
#
# A search is deaf to everything that it is not asked for. The next click is one use of the vectors; the
# same vectors must say which listings are *alike* (the carousel of similar ones) and where the listing that
# is booked in the end stands among those of its market. So the same models once more, by other measures.

# %%
models = {**{name: known[name] for name in ("defaults", "run file")}, "tuned": tuned, "tuned, by MRR": by_mrr}
booked = i2v.booked_rank(
    {
        **{name: models[name] for name in ("tuned", "defaults", "run file", "tuned, by MRR")},
        "popularity": baselines["popularity"],
    },  # differences are of the first
    split.test,
    train=split.train,
    pooled=False,
    min_cases=10 if is_small() else 25,
    n_bootstrap=RESAMPLES,
)


def place(name):
    found = booked.curves[name]["before"].overall.mean_rank
    return float("nan") if found is None else found.value


def numbered(labels, ids):
    """Number the labels of some items, −1 where there is none."""
    numbers = {label: number for number, label in enumerate(sorted(set(labels.values()), key=str))}
    return np.array([numbers.get(labels.get(item), -1) for item in ids])


ids_of = {name: one.vocabulary.ids.to_pylist() for name, one in models.items()}
market_of = {
    item: number
    for item, number in zip(sessions.item_ids.to_pylist(), sessions.markets.tolist(), strict=True)
    if number >= 0
}


def agreement(name, labels, within=None):
    """Share of the ten nearest neighbours (cosine) with a listing's own label, in %."""
    codes = numbered(labels, ids_of[name])
    fence = None if within is None else numbered(within, ids_of[name])
    share = neighbour_agreement(models[name].vectors.vectors, codes, within=fence).share
    return float("nan") if share is None else 100 * share


def figure_of(name, key):
    return getattr(result.scorers[name], key)


MEASURES = {  # what it is, whether more is better (None: a matter of taste), and the figure
    f"next click: Recall@{K}, %": (True, lambda name: figure_of(name, "recall").value),
    f"next click: MRR@{K}, %": (True, lambda name: figure_of(name, "mrr").value),
    f"next click in the tail: Recall@{K}, %": (
        True,
        lambda name: figure_of(name, "slices")["tail"].recall.value,
    ),
    "booked listing: mean rank in its market": (False, place),
    "similar: of ten neighbours in the same market, %": (True, lambda name: agreement(name, market_of)),
    "similar: of ten neighbours within it of the same hidden style, %": (
        True,
        lambda name: agreement(name, log.styles, market_of),
    ),
    "listings that are in some list, % of the catalogue": (True, lambda name: figure_of(name, "coverage")),
    "popularity of what is listed over that of what is clicked": (
        None,
        lambda name: 1 + figure_of(name, "popularity_lift").value,
    ),
    "size of the vectors, kB": (
        False,
        lambda name: 2 * models[name].vectors.vectors.nbytes / 1000,  # input and output vectors
    ),
}
first, second, _, rank, *_ = MEASURES
paired = {first: by_pair["tuned", "defaults"].recall, second: by_pair["tuned", "defaults"].mrr}
if not booked.insufficient:
    paired[rank] = booked.difference("tuned", "defaults").mean_rank
rows, better, worse = [], [], []
for what, (more, of) in MEASURES.items():
    values = {name: of(name) for name in models}
    if np.isnan(list(values.values())).any():
        continue  # a log without bookings, markets or known styles
    change = round(values["tuned"] - values["defaults"], 2)
    sure = paired.get(what)
    open_ = more is None or not change or (sure is not None and sure.low <= 0 <= sure.high)
    rises = None if open_ else (change > 0) == more
    colour = {True: GREEN, False: RED, None: INK}[rises]
    {True: better, False: worse, None: []}[rises].append(what.removesuffix(", %"))
    sign = Raw(f'<b style="color:{colour}">{change or 0:+.2f}</b>')
    interval = "" if sure is None else f"{sure.low:.2f} to {sure.high:.2f}"
    rows.append([what, *(f"{one:.2f}" for one in values.values()), sign, interval])
show(table(["", *models, "tuned − defaults", "95 % interval, in pairs"], rows))
say("*Green: better than the defaults; red: worse; where there is an interval, beyond chance.*")

# %% [markdown]
# The booked listing in pairs, as before. **Left of zero the first one is better**: it puts the listing that
# was booked in the end further up.

# %%
if booked.insufficient:
    say(f"*{booked.insufficient}.*")
else:
    others = ("defaults", "run file", "popularity")
    rows = {f"tuned − {name}": booked.difference("tuned", name).mean_rank for name in others}
    verdict = {name: GREEN if one.high < 0 else RED if one.low > 0 else GREY for name, one in rows.items()}
    figure, axes = plt.subplots(figsize=(7.6, 2.2))
    intervals(axes, rows, verdict)
    axes.axvline(0, color=INK, linewidth=1.2)
    axes.set_xlabel("difference in mean rank, places")
    plt.show()

# %% [markdown]
# So: tune for what the product shows, look at the rest of the report before the settings go out, and let
# the gate compare the new release with the old one. `item2vec tune my.toml --metric mrr` searches for the
# top of the list; `--space SPACE.toml` searches only what it names, and so leaves alone what must not move,
# such as `market_negative` where *similar* is what counts.

# %%
for word, names in (("better", better), ("worse", worse)):
    say(f"The tuned settings are **{word}** than the defaults in: {'; '.join(names) or 'nothing'}.")
