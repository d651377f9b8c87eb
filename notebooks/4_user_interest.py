# %% [markdown]
# # 4 · One guest, click by click
#
# So far we looked at listings. A product shows listings *to somebody*. This notebook follows one guest
# through a search: what is recommended before the first click, how it moves with each click, what of it
# comes from the last minutes and what from earlier bookings, why each listing is there, and what somebody
# sees of whom nothing is known.
#
# *Which log:* the simulated marketplace, or what `ITEM2VEC_NOTEBOOK_DATA` names (`sample`, `google_merch`,
# `trivago`).

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pyarrow.compute as pc
from sklearn.manifold import TSNE

import item2vec as i2v
from cards import Catalogue, Raw, card, say, shelf, show, table
from drawing import BLUE, FAINT, GREEN, GREY, INK, ORANGE, PINK, RED, SKY, VIOLET, legend_beside, style
from item2vec.evaluation import split_sessions
from item2vec.recommendations import InterestWeights, UserHistory
from logs import is_small, open_log

style()
log = open_log(unfit=["airbnb_reviews"])
say(log.says)
events = log.events.to_table()
users, items = log.events.users, log.events.items
catalogue = Catalogue(items)

# %% [markdown]
# ## What is learned, and until when
#
# Vectors of listings from the click sessions that ended before the cut; **types** of guests and of listings
# from the bookings before it (eq. 6–9: where both kinds lie in one space, a guest's type says which
# listings suit it, also on the first visit). The guest we follow searches *after* the cut: the model has
# seen nothing of this search.

# %%
split = split_sessions(log.sessions(), validation=0.1, test=0.2)
vectors = log.train(split.train).item_vectors_
types = None
if users is not None:
    bookings = i2v.sessionize(log.events, kind="booking", min_length=1)
    before = split_sessions(bookings, validation=0.0, test_from=split.t1_us).train
    refused = i2v.rejections_of(log.events, before_us=split.t1_us)
    types = i2v.TypeEmbeddings(min_support=5, workers=1).fit(before, users, refused, show_progress=False)
rec = i2v.Recommender(vectors, items=items, types=types)
say(
    f"{len(vectors):,} listings from {len(split.train):,} sessions"
    + (
        f", {len(types.vectors_):,} types from {before.n_clicks:,} bookings."
        if types
        else "; this log has no table of users, so there are no types."
    )
)

# %% [markdown]
# ## The guest
#
# Not the nicest example, the *first* one that fits: somebody who begins to search after the cut (nothing in
# the two weeks before), clicks a handful of listings, and books one that the model knows, that is not among
# the ten everybody is shown, and that was not opened first; and, if there is such a one, somebody who has
# booked before.

# %%
DAY_US = 86_400_000_000
by_user = events["user_id"].combine_chunks().dictionary_encode()  # the log is in the order of its users
names = {name: number for number, name in enumerate(by_user.dictionary.to_pylist())}
begins = np.searchsorted(by_user.indices.to_numpy(), np.arange(len(names) + 1))
times_us = events["ts_us"].to_numpy()
test = split.test
order = np.argsort(test.start_us, kind="stable")
earlier = set() if types is None else set(before.user_ids.to_pylist())


def known_tokens(one):
    """Return the clicks of a session on listings that the model knows, and their times."""
    span = slice(int(test.offsets[one]), int(test.offsets[one + 1]))
    clicked = zip(test.item_ids.take(test.tokens[span]).to_pylist(), test.ts_us[span].tolist(), strict=True)
    return [(item, ts_us) for item, ts_us in clicked if item in vectors]


def booked_in(one):
    """Return the listing that is booked in the end, None where there is none that the model knows."""
    tokens = test.booked[test.booked_offsets[one] : test.booked_offsets[one + 1]]
    bought = test.item_ids[int(tokens[0])].as_py() if len(tokens) else None
    return bought if bought in vectors else None


def fits(one):
    """Tell whether a session makes a story: a new search, and a booking that is no matter of course."""
    clicked, bought = [item for item, _ in known_tokens(one)], booked_in(one)
    if not 5 <= len(clicked) <= 7 or bought is None or bought in everybody or bought in clicked[:2]:
        return False
    own = slice(*begins[names[test.user_ids[one].as_py()] :][:2])
    pause = test.start_us[one] - times_us[own]
    return not ((pause > DAY_US / 24) & (pause < 14 * DAY_US)).any()


market_of = {item: catalogue[item].get("market") for item in vectors.ids}
everybody = set()
for name in set(market_of.values()):
    asked = None if name is None else {"market": name}
    everybody |= set(rec.recommend(UserHistory(), N=10, where=asked)[0].tolist())
stories = [int(one) for one in order if fits(one)]
if not stories:
    say("*Nobody in this log fits all of that; so it is the first who clicks some listings and books one.*")
    counts = {int(one): len(known_tokens(one)) for one in order}
    stories = [one for one, n in counts.items() if 2 <= n <= 10 and booked_in(one) is not None]
    stories = stories or [max(counts, key=counts.get)]
story = next((one for one in stories if test.user_ids[one].as_py() in earlier), stories[0])
guest = test.user_ids[story].as_py()
clicks, times = (list(column) for column in zip(*known_tokens(story), strict=True))
goal = booked_in(story) or clicks[-1]
attributes = {}
if users is not None:
    attributes = users.filter(pc.equal(users["user_id"], guest)).drop_columns(["user_id"]).to_pylist()[0]
    attributes = {name: value for name, value in attributes.items() if value is not None}
theirs = events.filter(pc.equal(events["user_id"], guest))
began = min(ts_us for ts_us in theirs["ts_us"].to_pylist() if ts_us > times[0] - DAY_US / 24)
past = theirs.filter(pc.less(theirs["ts_us"], began))
kinds = dict(
    sorted((row["values"], row["counts"]) for row in pc.value_counts(past["event_type"]).to_pylist())
)
say(
    f"**Guest {guest}**"
    + (": " + ", ".join(f"{name} {value}" for name, value in attributes.items()) if attributes else "")
    + ". Before this search: "
    + (", ".join(f"{kind} {n}" for kind, n in kinds.items()) or "nothing")
    + "."
)


def as_of(ts_us):
    """Return the guest as known just after a moment."""
    return UserHistory.from_events(theirs, guest, attributes, as_of_us=int(ts_us) + 1)


# %% [markdown]
# ## How the recommendations move
#
# One row for each click. On the left what the guest has just opened, on the right the four listings that
# would be shown at that moment. <b style="color:#009E73">Green</b>: the guest opens it later in this
# search; <b style="color:#D55E00">red</b>: it is the one that is booked in the end. Watch the row *before
# the first click* and how much of it is left after the last one.

# %%
NAMES = ("market", "listing_type", "price", "category")


def marked(item, before, later):
    """Return a card that says what the guest does with the listing in this search."""
    if item == goal:
        colour, head = RED, "★ booked in the end"
    elif item in before:
        colour, head = GREY, "opened before"
    elif item in later:
        colour, head = GREEN, "→ opened later"
    else:
        colour, head = FAINT, "\u00a0"
    return card(catalogue, item, head=head, colour=colour, width=128, names=NAMES)


rows = []
for step in range(len(clicks) + 1):
    known = as_of(times[step - 1] if step else began - 1)
    found, _ = rec.recommend(known, N=4, filter_seen="booked")
    opened = "<i>nothing yet</i>"
    if step:
        opened = card(catalogue, clicks[step - 1], head="\u00a0", colour=INK, width=128, names=NAMES)
    shown = [marked(item, set(clicks[:step]), set(clicks[step:])) for item in found.tolist()]
    rows.append((f"after click {step}" if step else "before", Raw(opened), Raw("".join(shown))))
show(table(["", "the guest opened", "recommended at that moment"], rows))

# %% [markdown]
# ## The same as a curve, and as a walk
#
# Left: the place of the booked listing among all listings of its market, after each click; **lower is
# better**. The dashed line is what everybody would be shown. Right: the market on a map (t-SNE of the
# vectors), the guest's clicks as a numbered walk, and the ten listings recommended before it and after it.

# %%
where = None
if market_of.get(goal) is not None:
    where = {"market": market_of[goal]}
local = [item for item in vectors.ids if where is None or market_of[item] == market_of[goal]][:1200]


def place_of_goal(history, **more):
    """Return the place of the booked listing in the ranking of its market, from 1."""
    ranked, _ = rec.recommend(history, N=len(local), where=where, filter_seen=False, **more)
    return int(np.flatnonzero(ranked == goal)[0]) + 1 if goal in ranked else len(local)


moments = [began - 1, *times]
places = [place_of_goal(as_of(moment)) for moment in moments]
popular = place_of_goal(UserHistory(as_of_us=int(times[0])))
chosen = np.array([vectors.key_to_index[item] for item in local])
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    perplexity = min(30.0, (len(chosen) - 1) / 3)
    layout = TSNE(
        perplexity=perplexity, init="pca", max_iter=250 if is_small() else 500, random_state=1, n_jobs=1
    )
    at = dict(
        zip(local, layout.fit_transform(vectors.get_normed_vectors()[chosen].astype(float)), strict=True)
    )
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), width_ratios=[1, 1.25])
left.plot(range(len(places)), places, "o-", color=BLUE, linewidth=2)
left.axhline(popular, color=GREY, linestyle="--")
left.text(len(places) - 1, popular, "for everybody", color=GREY, va="bottom", ha="right")
left.set_ylim(max(*places, popular) * 1.12 + 1, 0)
left.set_xticks(range(len(places)), ["before", *map(str, range(1, len(places)))])
left.yaxis.set_major_locator(plt.MaxNLocator(integer=True))
left.set_xlabel("clicks of the guest")
left.set_ylabel(f"place of the booked listing\n(of {len(local):,} in its market; 1 is the top)")
right.scatter(*np.array(list(at.values())).T, s=12, color=FAINT)
for moment, colour, marker, name in (
    (moments[0], ORANGE, "s", "recommended before"),
    (moments[-1], BLUE, "D", "recommended after"),
):
    found, _ = rec.recommend(as_of(moment), N=10, where=where, filter_seen="booked")
    drawn = np.array([at[item] for item in found.tolist() if item in at]).reshape(-1, 2)
    right.scatter(
        *drawn.T, s=46, facecolors="none", edgecolors=colour, marker=marker, linewidths=1.6, label=name
    )
walk = np.array([at[item] for item in clicks if item in at]).reshape(-1, 2)
right.plot(*walk.T, color=INK, linewidth=0.8, alpha=0.4)
right.scatter(*walk.T, s=30, color=INK, zorder=3, label="the guest's clicks")
numbers = {}
for number, item in enumerate((item for item in clicks if item in at), 1):
    numbers.setdefault(item, []).append(str(number))
for item, own in numbers.items():
    right.annotate(", ".join(own), at[item], (5, 4), textcoords="offset points", fontsize=10, color=INK)
if goal in at:
    right.plot(*at[goal], "*", color=RED, markersize=17, zorder=4, label="booked in the end")
right.set_xticks([])
right.set_yticks([])
right.grid(visible=False)
legend_beside(right)
plt.show()
say(
    f"The booked listing stands at place {places[0]} before the first click, {min(places)} at best and"
    f" {places[-1]} after the last; for everybody it is at place {popular}. One guest proves nothing;"
    " notebook 3 asks all of them."
)

# %% [markdown]
# ## Short against long term
#
# The score is a sum of parts, and `InterestWeights` says how much each counts: what was looked at *lately*
# (fading, market by market), what was *passed over*, what was ever *booked*, what suits the guest's *type*,
# and what is *popular* anyway. Here each part has the word alone, then all together. Lately knows the trip
# at hand; bookings and type know the person, also when the next trip goes elsewhere.

# %%
NOTHING = {"lately": 0.0, "skipped": 0.0, "booked": 0.0, "type": 0.0, "popular": 0.0}
now = as_of(times[-1])
voices = {
    "Lately alone: the last days' clicks": InterestWeights(**{**NOTHING, "lately": 1.0}),
    "Bookings alone: what was ever booked": InterestWeights(**{**NOTHING, "booked": 1.0}),
    "Type alone: what suits such a guest": InterestWeights(**{**NOTHING, "type": 1.0}),
    "Popularity alone: the same for everybody": InterestWeights(**{**NOTHING, "popular": 1.0}),
    "All together, with the default weights": InterestWeights(),
}
answers = {}
for name, weights in voices.items():
    if name.startswith("Type") and types is None:
        continue
    if name.startswith("Bookings") and not any(event.event_type == "booking" for event in now.events):
        say("*This guest has booked nothing before: bookings alone have nothing to say.*")
        continue
    found, _ = rec.recommend(now, N=6, where=where, weights=weights, filter_seen="booked")
    answers[name] = found.tolist()
    colour = {"L": BLUE, "B": VIOLET, "T": ORANGE, "P": GREY, "A": GREEN}[name[0]]
    show(
        shelf(name, [card(catalogue, item, colour=colour, width=134, names=NAMES) for item in found.tolist()])
    )

# %% [markdown]
# ## What lifts a listing, the more is known
#
# Only differences move a listing up a list. So each part of the score is drawn as what it adds *beside an
# average listing of the market*, as the mean of the ten that are shown: from a visitor of whom nothing is
# known to the end of this search, and two weeks after it, when clicks have been forgotten and bookings have
# not. Grey is what everybody is shown;
# **the coloured parts are what this guest has brought in**.

# %%
PARTS = {"lately": BLUE, "booked": VIOLET, "type": ORANGE, "skipped": PINK, "popular": GREY}


def lifts(history, n, mode="next"):
    """Return the explanations of the first n, and what each part adds to each beside the market's mean."""
    *_, why = rec.recommend(history, N=len(local), where=where, filter_seen=False, mode=mode, explain=True)
    average = {part: np.mean([one.parts.get(part, 0.0) for one in why]) for part in PARTS}
    booked_before = {event.item_id for event in history.events if event.event_type == "booking"}
    first = [one for one in why if one.item_id not in booked_before][:n]
    return first, [{part: one.parts.get(part, 0.0) - average[part] for part in PARTS} for one in first]


def stack(axes, rows):
    """Draw parts as stacked bars, what speaks against a listing to the left of zero."""
    for place, parts in enumerate(rows.values()):
        ends = {True: 0.0, False: 0.0}
        for part, colour in PARTS.items():
            value = parts[part]
            label = part if place == 0 else None
            axes.barh(place, value, left=ends[value >= 0], color=colour, height=0.62, label=label)
            ends[value >= 0] += value
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("added to the score, beside an average listing of the market")
    legend_beside(axes)


knowledge = {
    "nobody we know": UserHistory(as_of_us=int(times[0])),
    "attributes only": UserHistory(attributes=attributes, as_of_us=int(times[0])),
    "before this search": as_of(moments[0]),
    "after its first click": as_of(times[0]),
    "after its last click": as_of(times[-1]),
    "15 days later": as_of(times[-1] + 15 * DAY_US),
}
if not attributes:
    del knowledge["attributes only"]
means, tops = {}, {}
for name, history in knowledge.items():
    first, parts = lifts(history, 10)
    tops[name] = {one.item_id for one in first}
    means[name] = {part: np.mean([each[part] for each in parts]) for part in PARTS}
figure, axes = plt.subplots(figsize=(9.4, 0.5 * len(means) + 1.2))
stack(axes, means)
plt.show()
last = tops["after its last click"]
kept = [f"{len(last & one)} {name}" for name, one in tops.items() if name != "after its last click"]
ours = {
    name: sum(abs(value) for part, value in one.items() if part != "popular") for name, one in means.items()
}
shares = {name: ours[name] / max(ours[name] + abs(one["popular"]), 1e-12) for name, one in means.items()}
say("Coloured, of each bar: " + ", ".join(f"{share:.0%} {name}" for name, share in shares.items()) + ".")
say(f"Of the ten listings after the last click, so many are in the other lists: {', '.join(kept)}.")

# %% [markdown]
# ## Why is this listing here?
#
# Every recommendation can say where its score comes from (`explain=True`): a product needs that for
# "because you looked at …", and whoever runs it needs it to find out what went wrong. Here for listings
# *similar* to what the guest looked at (`mode="similar"`), with the clicks behind them.

# %%
why, parts = lifts(now, 5, mode="similar")
figure, axes = plt.subplots(figsize=(9.4, 0.55 * len(why) + 1.2))
names = [f"{one.item_id}\n{catalogue.short(one.item_id)}" for one in why]
stack(axes, dict(zip(names, parts, strict=True)))
plt.show()
rows = []
for one in why:
    shares = {}
    for each in one.lately:
        about = f"{each.event_type} on {each.item_id}"
        shares[about] = shares.get(about, 0.0) + each.share
    because = [f"{share:.0%} {about}" for about, share in shares.items() if share > 0]
    rows.append((one.item_id, "; ".join(because[:3]) or "–", *([one.listing_type or "–"] if types else [])))
columns = [
    "recommended",
    "because of (shares of its part “lately”)",
    *(["the listing's type"] if types else []),
]
show(table(columns, rows))
if why and why[0].user_type:
    say(f"The guest's type: `{why[0].user_type}`. What its fields mean stands in the type map, a TOML file.")

# %% [markdown]
# ## Somebody new
#
# No history is no dead end. Of a logged-out visitor nothing is known: popular listings, in the market that is
# asked for if one is. With attributes (a language, a device, a home market) the type can speak. And with the
# first click, wherever it is, the list begins to move.

# %%
first = local[min(len(local) - 1, 3 * len(local) // 4)]  # a listing that few look at
visitors = {
    "Nobody we know": (UserHistory(), None),
    "Nobody we know, who asks for this market": (UserHistory(), where),
    "New, with attributes": (UserHistory(attributes=attributes), where),
    "New, after one click on an unusual listing": (UserHistory.of_clicks([first]), where),
}
if where is None:
    del visitors["Nobody we know, who asks for this market"]
if not attributes:
    del visitors["New, with attributes"]
for name, (history, condition) in visitors.items():
    found, _ = rec.recommend(history, N=5, where=condition)
    cards = [card(catalogue, item, width=134, names=NAMES, colour=SKY) for item in found.tolist()]
    if name.startswith("New, after"):
        cards = [card(catalogue, first, head="clicked", width=134, names=NAMES, colour=INK), *cards]
    show(shelf(name, cards))
