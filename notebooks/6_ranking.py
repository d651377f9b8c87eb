# %% [markdown]
# # 6 · Does a ranker rank better for knowing what a guest did lately?
#
# A search page is not ordered by vectors alone: a ranker weighs price, reviews, popularity and much else.
# The vectors give it eight columns more, about *this guest and this listing*. Are they worth it?
#
# Section 4.4 of the paper on the simulated marketplace: LambdaRank with and without the eight features, in
# a world where guests differ in taste and in one where all like the same. In the second there is nothing
# personal to know, so the features must gain nothing there.
#
# The days, in their order: vectors and popularity are learned on the first 36; the ranker learns from the
# searches of the next 22; 7 days pass until their bookings are in; it is tested on the searches of 18 days;
# and 7 days more for the bookings of those. No step knows what happened after it. Both rankers have the
# same settings, which were not tuned.
#
# *Which log:* two simulated marketplaces, as only there is it known whether taste exists. The whole takes
# minutes; with `ITEM2VEC_NOTEBOOK=small` in the environment the worlds are a third as large and trained
# once.

# %%
import datetime
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from IPython.display import display

import item2vec as i2v
from cards import say, show, table
from drawing import BLUE, GREEN, GREY, INK, RED, intervals, style
from item2vec.evaluation import LambdaRank, draw_importance, draw_partial_dependence, split_sessions
from item2vec.recommendations import RANKING_FEATURES
from logs import is_small

style()
SMALL = is_small()
SIZE = {"n_users": 4000, "n_listings": 400, "n_markets": 8} if SMALL else {"n_users": 12_000, "n_markets": 20}
WORLD = {"n_listings": 1000, "days": 90, "book_share": 0.9, "seed": 21, **SIZE}
WORLDS = {"with taste": {}, "without taste": {"taste": False, "style_geography_correlation": 0}}
SEEDS = (1,) if SMALL else (1, 2, 3)
DAY_US = 86_400_000_000
FIRST_DAY = (datetime.date(2025, 1, 1) - datetime.date(1970, 1, 1)).days
LEARNED, TRAINED, TEST, TESTED = ((FIRST_DAY + days) * DAY_US for days in (36, 58, 65, 83))
KEYS = ["user_id", "search_id", "item_id", "position"]
PART = {"vectors learned on": 36, "ranker trained on": 22, "wait": 7, "tested on": 18, "wait ": 7}
figure, axes = plt.subplots(figsize=(9, 1.5))
begin = 0
for (name, days), colour in zip(PART.items(), (BLUE, GREEN, "#D9D9D9", RED, "#D9D9D9"), strict=True):
    axes.barh(0, days, left=begin, color=colour, edgecolor="white")
    dark = not name.startswith("wait")
    axes.text(
        begin + days / 2,
        0,
        f"{name}\n{days} days",
        ha="center",
        va="center",
        color="white" if dark else INK,
        fontsize=10,
    )
    begin += days
axes.set_yticks([])
axes.grid(visible=False)
axes.set_xlim(0, begin)
axes.set_xlabel("day of the log (wait: until the bookings of these searches are in)")
plt.show()
say(
    f"{WORLD['n_users']:,} guests, {WORLD['n_listings']:,} listings, {WORLD['n_markets']} markets in each"
    f" world; {len(SEEDS)} training{'s' * (len(SEEDS) > 1)}."
)

# %% [markdown]
# ## What a ranker knows of a listing itself
#
# Price, capacity, type, reviews and place are a snapshot: this catalogue does not change over the log, so
# they leak nothing here; in a real one, recount the reviews from the log as of the search. Popularity is
# counted up to the day the vectors are learned. The position on the page is left out: it is production's
# own answer, and clicks depend on it.


# %%
def popularity(events, until_us):
    """Count each listing's events before a time."""
    log = events.to_table().select(["ts_us", "event_type", "item_id"])
    log = log.filter(pc.less(log["ts_us"], until_us))
    counts = {}
    for kind in ("impression", "click", "booking"):
        of_kind = (
            log.filter(pc.equal(log["event_type"], kind)).group_by("item_id").aggregate([([], "count_all")])
        )
        rows = pc.index_in(events.items["item_id"], value_set=of_kind["item_id"].combine_chunks())
        counts[f"{kind}s_before"] = pc.fill_null(of_kind["count_all"].take(rows), 0).to_numpy()
    return {
        **counts,
        "click_rate_before": counts["clicks_before"] / np.maximum(counts["impressions_before"], 1),
    }


def within_market(items):
    """Return the distance from the market's middle, and the price per guest beside the market's median."""
    markets = np.array(items["market"].to_pylist())
    latitude, longitude = items["latitude"].to_numpy(), items["longitude"].to_numpy()
    per_guest = items["price"].to_numpy() / items["capacity"].to_numpy()
    distance, price = np.zeros(len(markets)), np.zeros(len(markets))
    for market in np.unique(markets):
        mine = markets == market
        north, east = (each[mine] - each[mine].mean() for each in (latitude, longitude))
        distance[mine] = 111.32 * np.hypot(north, east * np.cos(np.radians(latitude[mine].mean())))
        price[mine] = per_guest[mine] / np.median(per_guest[mine])
    return {"distance_km": distance, "price_beside_market": price}


def listing_features(events, until_us):
    """One row per listing."""
    items = events.items
    known = ("item_id", "price", "capacity", "n_reviews", "five_star_share")
    columns = {name: items[name] for name in known}
    columns["listing_type"] = items["listing_type"].combine_chunks().dictionary_encode().indices
    return pa.table({**columns, **within_market(items), **popularity(events, until_us)})


# %% [markdown]
# ## One world: vectors, then features and labels of later searches, then two rankers


# %%
def types_of(seed, events):
    """Return types learned before LEARNED, every listing's, and every guest's from when on."""
    bookings = i2v.sessionize(events, kind="booking", min_length=1)
    before = split_sessions(bookings, validation=0.0, test_from=LEARNED).train
    refused = i2v.rejections_of(events, before_us=LEARNED)
    types = i2v.TypeEmbeddings(seed=seed, workers=1).fit(before, events.users, refused, show_progress=False)
    names = types.type_map_.listing_types(events.items)
    listing_types = dict(zip(events.items["item_id"].to_pylist(), names, strict=True))
    return types, listing_types, types.user_type_table(bookings, events.users)


def searches_of(seed, events, labels, plain):
    """Return the labelled rows with all their features, of the days to train on and of those to test on."""
    sessions = i2v.sessionize(events, booked_weight=1, max_clicks_per_user_day=150)
    before = split_sessions(sessions, validation=0.0, test_from=LEARNED).train  # over before LEARNED
    model = i2v.Item2Vec(market_negative=5, alpha=0.025, seed=seed, workers=1)
    vectors = model.fit(before, show_progress=False).item_vectors_
    types, listing_types, user_types = types_of(seed, events)
    similar = i2v.RankingFeatures(vectors, events.items, types=types, listing_types=listing_types)
    features = i2v.ranking_feature_table(events, similar, user_types=user_types)
    table = labels.join(features.drop_columns(["ts_us"]), KEYS).join(plain, "item_id")
    table = table.sort_by([("ts_us", "ascending"), *((name, "ascending") for name in KEYS)])
    when = pc.field("ts_us")
    train = table.filter((when >= LEARNED) & (when < TRAINED))
    return train, table.filter((when >= TEST) & (when < TESTED))


def rank_in(folder, **settings):
    """Return the figures, the importance of the columns and the curves of the rankers with the features."""
    log = i2v.simulate(folder / "log", **{**WORLD, **settings})
    tables = {name: {"path": log / f"{name}.parquet"} for name in ("items", "users")}
    events = i2v.read_events(log / "events", **tables, out=folder / "events")
    labels, plain = i2v.search_labels(events), listing_features(events, LEARNED)
    base = [name for name in plain.column_names if name != "item_id"]
    ways = {"with features": [*base, *RANKING_FEATURES], "without": base}
    scores, rankers = {name: [] for name in ways}, []
    for seed in SEEDS:
        train, test = searches_of(seed, events, labels, plain)
        for name, columns in ways.items():
            ranker = LambdaRank(seed=seed).fit(train.select(columns), train)
            scores[name].append(ranker.scores(test))
            rankers += [ranker] if name == "with features" else []
    scores["popularity"] = test["bookings_before"].to_numpy().astype(float)
    scores["production order"] = -test["position"].to_numpy().astype(float)
    result = i2v.evaluate_ranking(scores, test.replace_schema_metadata(labels.schema.metadata))
    shares = {name: np.mean([one.importance_[name] for one in rankers]) for name in ways["with features"]}
    return result, shares, {name: rankers[0].partial_dependence(test, name) for name in RANKING_FEATURES}


# %% [markdown]
# ## Where guests differ, and where they do not
#
# *NDCG* has the gains the ranker learns from; *NDCU* the paper's utilities: a booking counts 1, a contact
# .25, a click .01, a rejection −.4. The columns must help where guests differ in taste, **and must not help
# where all like the same**: there is nothing personal to know there, and a gain would be a leak.

# %%
results, importance, dependence = {}, {}, {}
for name, settings in WORLDS.items():
    with tempfile.TemporaryDirectory() as folder:
        results[name], importance[name], dependence[name] = rank_in(Path(folder), **settings)
ways = ["with features", "without", "popularity", "production order"]
figure, panels = plt.subplots(2, 2, figsize=(10, 4.6), sharey=True, sharex="col")
for line, (world, result) in zip(panels, results.items(), strict=True):
    for axes, figure_of in zip(line, ("ndcg", "ndcu"), strict=True):
        rows = {way: getattr(result.scorers[way], figure_of) for way in ways}
        intervals(axes, rows, {"with features": BLUE, "without": GREEN})
        axes.set_title(f"{figure_of.upper()}, {world}: {result.n_searches:,} searches")
for axes in panels[-1]:
    axes.set_xlabel("% (95 % intervals over searches)")
plt.show()

# %% [markdown]
# ## What the features bring, search by search
#
# The same in pairs. **Right of zero the ranker with the features is better.** Below, what that means for
# the outcomes: how much more of its discounted utility each of them gets.

# %%
figure, panels = plt.subplots(1, 2, figsize=(10, 1.9))
for axes, figure_of in zip(panels, ("ndcg", "ndcu"), strict=True):
    gains = {
        world: getattr(one.difference("with features", "without"), figure_of)
        for world, one in results.items()
    }
    verdict = {
        world: GREEN if gain.low > 0 else RED if gain.high < 0 else GREY for world, gain in gains.items()
    }
    intervals(axes, gains, verdict)
    axes.axvline(0, color=INK, linewidth=1.2)
    axes.set_xlabel(f"{figure_of.upper()}, with features − without, points")
plt.show()
lifts = {world: one.difference("with features", "without").lift for world, one in results.items()}
show(
    table(
        ["lift, with features − without, %", *next(iter(lifts.values()))],
        [(world, *(str(found) for found in lift.values())) for world, lift in lifts.items()],
    )
)
for world, one in results.items():
    gain = one.difference("with features", "without")
    left_out = ", ".join(
        f"{why.replace('_', ' ')} {n:,}" for why, n in one.excluded.items() if n and why != "searches"
    )
    say(
        f"**{world.capitalize()}**, with features − without: NDCG {gain.ndcg}, NDCU {gain.ndcu}."
        f" Of {one.excluded['searches']:,} searches of the whole log were left out: {left_out}."
    )

# %% [markdown]
# ## What the ranker goes by
#
# Each column's share of what all splits of the trees gain. Coloured are the eight features of the paper.
# Look at how much they have where guests differ (first), and where they do not.

# %%
for world, shares in importance.items():
    say(f"**{world.capitalize()}**")
    display(draw_importance(shares, RANKING_FEATURES))

# %% [markdown]
# ## In which direction
#
# How the mean score moves along each column, all else as it is. The paper found that it rises with
# `EmbClickSim` (near to what was clicked) and falls with `EmbSkipSim` (near to what was passed over).

# %%
display(draw_partial_dependence(dependence["with taste"]))
curves = dependence["with taste"]
moves = {
    name: curves[name][1][-1] - curves[name][1][0]
    for name in ("EmbClickSim", "EmbSkipSim")
    if len(curves[name][1])
}
say(
    "From one end of the column to the other: "
    + ", ".join(f"`{name}` {move:+.2f}" for name, move in moves.items())
    + "."
)
