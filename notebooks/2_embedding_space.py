# %% [markdown]
# # 2 · What the vectors know
#
# Nobody told the model what a listing costs, where it lies or what kind it is. It only saw which listings
# were clicked in one session. This notebook asks what it has learned from that: on maps, in the tables of
# the paper, on the real coordinates, and listing by listing.
#
# *Which log:* the simulated marketplace, or what `ITEM2VEC_NOTEBOOK_DATA` names (`sample`, `google_merch`,
# `trivago`, `airbnb_reviews`).

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pyarrow.compute as pc
from sklearn.cluster import KMeans
from sklearn.manifold import TSNE

import item2vec as i2v
from cards import Catalogue, card, say, shelf, show
from drawing import FAINT, GREY, INK, PALETTE, heat_table, legend_beside, style
from logs import is_small, open_log

style()
log = open_log()
say(log.says)
sessions = log.sessions()
vectors = log.train(sessions).item_vectors_
ids = vectors.ids
unit = vectors.get_normed_vectors()
items = sessions.items
rows = (
    None
    if items is None
    else pc.index_in(vectors.vocabulary.ids, value_set=items["item_id"].combine_chunks())
)


def attribute(name):
    """Return one attribute of every item that has a vector, None where the catalogue does not know it."""
    if items is None or name not in items.column_names:
        return np.full(len(ids), None, object)
    return np.array(items[name].combine_chunks().take(rows).to_pylist(), object)


market, kind = attribute("market"), attribute("listing_type")
price = np.array([np.nan if value is None else value for value in attribute("price")], float)
style_of = np.array([log.styles.get(item) for item in ids], object)
say(
    f"{len(ids):,} listings have a vector of {vectors.vector_size} numbers,"
    f" learned from {len(sessions):,} sessions."
)

# %% [markdown]
# ## A map of the listings
#
# Each dot is a listing; t-SNE lays neighbours in the vectors' space side by side. The axes have no meaning,
# only who is near whom. Guests seldom search in two cities at once, so each **market should be an island of
# its own**. Below it the largest market alone, the same dots in other colours: where a colour lies in patches
# and not like confetti, the vectors know what it stands for.

# %%
MOST = 1200  # dots on a map
PRICES = ("cheap", "middling", "dear")


def on_a_map(chosen):
    """Lay out some listings in two dimensions."""
    places = TSNE(
        perplexity=min(30.0, (len(chosen) - 1) / 3),
        init="pca",
        max_iter=250 if is_small() else 600,
        random_state=1,
        n_jobs=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return places.fit_transform(unit[chosen].astype(np.float64))


def most_frequent(values, n):
    """Return the labels that most listings have, none of them None."""
    names, counts = np.unique([value for value in values if value is not None], return_counts=True)
    return names[np.argsort(-counts, kind="stable")][:n].tolist()


def coloured_by(axes, places, values, title):
    """Draw the map with a colour for each of the most frequent labels, the others faint."""
    names = most_frequent(values, len(PALETTE))
    names = [name for name in PRICES if name in names] or sorted(names, key=str)
    others = ~np.isin(values.astype(str), [str(name) for name in names])
    axes.scatter(*places[others].T, s=9, color=FAINT, label="others" if others.any() else None)
    for name, colour in zip(names, PALETTE, strict=False):
        label = str(name).rsplit("/", 1)[-1] if title.endswith("by market") else str(name)
        axes.scatter(*places[values == name].T, s=14, color=colour, label=label)
    axes.set_title(title)


def bare(axes):
    """Take ticks and grid off: these axes have no unit."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_color(FAINT)


by_price = np.full(len(ids), None, object)
with_price = np.isfinite(price)
for name in np.unique(market.astype(str)):
    here = with_price & (market.astype(str) == name)
    if here.sum() > 2:
        low, high = np.quantile(price[here], [1 / 3, 2 / 3])
        by_price[here] = np.array(PRICES)[np.searchsorted([low, high], price[here], "right")]
everything = np.arange(len(ids))[:MOST]  # in the order of their clicks
markets = most_frequent(market, 2)
home = np.flatnonzero(market == markets[0])[:MOST] if markets else everything
lens = {
    "listing type": kind,
    "price within the market": by_price,
    "hidden style (the simulation's)": style_of,
}
lens = {name: values for name, values in lens.items() if len(set(values[home]) - {None}) > 1}
figure, axes = plt.subplots(figsize=(7.6, 4.6))
coloured_by(axes, on_a_map(everything), market[everything], f"{len(everything):,} listings, by market")
bare(axes)
legend_beside(axes, markerscale=1.6)
plt.show()

# %%
if lens:
    figure, panels = plt.subplots(1, len(lens), figsize=(4 * len(lens), 4.6), squeeze=False)
    places = on_a_map(home)
    for axes, (name, values) in zip(panels[0], lens.items(), strict=True):
        coloured_by(axes, places, values[home], name.capitalize())
        bare(axes)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, markerscale=1.5, fontsize=10)
    figure.suptitle(
        f"One market: {str(markets[0]).rsplit('/', 1)[-1] if markets else 'all'}", x=0.02, ha="left"
    )
    plt.show()
else:
    say("*The catalogue of this log knows neither types nor prices: there is nothing to colour by.*")

# %% [markdown]
# ## The same as numbers: Tables 1 and 2 of the paper
#
# The mean cosine between two listings of one market, by their types and by their price bands. Look along
# the rows: **a type should be most like itself**, a home more like a home than like a shared room. In the
# second table the numbers should fall with the distance from the diagonal: neighbouring price bands are
# more alike than distant ones. Rare labels have noisier rows.

# %%
bands = "quintiles" if log.name not in ("marketplace", "sample") else (30.0, 60.0, 90.0, 120.0)
probed = i2v.probe(vectors, items, price_bands=bands)
tables = {"Table 1: by listing type": probed.listing_type, "Table 2: by price": probed.price_band}
drawn = {name: one for name, one in tables.items() if one.insufficient is None and len(one.labels) > 1}
if drawn:
    figure, panels = plt.subplots(1, len(drawn), figsize=(5.6 * len(drawn), 4.4), squeeze=False)
    for axes, (name, one) in zip(panels[0], drawn.items(), strict=True):
        heat_table(axes, one.labels, one.cosine)
        axes.set_title(f"{name}\n{one.n_pairs:,} pairs, mean cosine")
    plt.show()
for name, one in tables.items():
    if name not in drawn:
        say(f"*{name}: {one.insufficient or 'there is one label only'}*")
        continue
    same = [one.cosine[at][at] for at in range(len(one.labels)) if one.cosine[at][at] is not None]
    mixed = [cell for at, line in enumerate(one.cosine) for cell in line[:at] if cell is not None]
    cells = np.array([[-1 if cell is None else cell for cell in line] for line in one.cosine])
    n_right = int(np.sum(cells.argmax(axis=1) == np.arange(len(cells))))
    say(
        f"**{name}**: {np.mean(same):.3f} on the diagonal, {np.mean(mixed):.3f} beside it; in {n_right} of"
        f" {len(cells)} rows the own label is the most alike."
    )

# %% [markdown]
# ## Are the neighbours from the same market?
#
# Of the ten nearest neighbours of a listing, how many are of its market? The grey dot is what chance would
# give. It is hardest in the *tail*: listings with few clicks, of which there are many.

# %%
if probed.insufficient is None:
    known = {name: one for name, one in probed.same_market.items() if one.share is not None}
    figure, axes = plt.subplots(figsize=(7.6, 0.5 * len(known) + 1.1))
    for place, one in enumerate(known.values()):
        axes.plot([100 * one.chance, 100 * one.share], [place, place], color=FAINT, linewidth=3, zorder=1)
        axes.plot(
            100 * one.chance, place, "o", color=GREY, markersize=8, label="by chance" * (place == 0) or None
        )
        axes.plot(
            100 * one.share,
            place,
            "D",
            color=PALETTE[0],
            markersize=8,
            label="the vectors" * (place == 0) or None,
        )
        axes.text(100 * one.share + 2.5, place, f"{one.share:.0%}", va="center", color=INK, fontsize=10)
    axes.set_yticks(range(len(known)), [f"{name} ({probed.n_items[name]:,} listings)" for name in known])
    axes.set_ylim(len(known) - 0.5, -0.5)
    axes.set_xlim(0, 112)
    axes.set_xticks(range(0, 101, 20))
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("neighbours of the same market, %")
    legend_beside(axes)
    plt.show()
else:
    say(f"*{probed.insufficient}*")

# %% [markdown]
# ## Geography that nobody told
#
# k-means puts the vectors of each market into a few clusters; then every listing is drawn where it really
# lies, in the colour of its cluster. The model has never seen a coordinate. **Colours that hold together on
# the map are neighbourhoods that it found in the clicks**: guests who look at one listing look at others
# nearby, or at others of the kind that stands there.

# %%
CLUSTERS = 5
latitude, longitude = (
    np.array([np.nan if v is None else v for v in attribute(n)], float) for n in ("latitude", "longitude")
)
placed = np.isfinite(latitude) & np.isfinite(longitude)
towns = [
    name for name in most_frequent(market[placed], 3) if np.sum(placed & (market == name)) > 5 * CLUSTERS
]
if towns:
    figure, panels = plt.subplots(1, len(towns), figsize=(4 * len(towns), 4.2), squeeze=False)
    for axes, town in zip(panels[0], towns, strict=True):
        here = np.flatnonzero(placed & (market == town))[:1500]
        found = KMeans(CLUSTERS, n_init=4, random_state=1).fit_predict(unit[here])
        north, east = latitude[here], longitude[here]
        shrink = np.cos(np.radians(north.mean()))
        x, y = 111.32 * shrink * (east - np.median(east)), 111.32 * (north - np.median(north))
        for number in range(CLUSTERS):
            mine = found == number
            axes.scatter(x[mine], y[mine], s=16, color=PALETTE[number], marker="osD^v"[number], alpha=0.85)
        middle = [np.quantile(one, [0.01, 0.99]).mean() for one in (x, y)]
        reach = 0.55 * max(np.ptp(np.quantile(one, [0.01, 0.99])) for one in (x, y))
        axes.set_xlim(middle[0] - reach, middle[0] + reach)
        axes.set_ylim(middle[1] - reach, middle[1] + reach)
        axes.set_aspect("equal")
        axes.set_title(f"{town}, {len(here):,} listings")
        axes.set_xlabel("km east of the middle")
    panels[0, 0].set_ylabel("km north of the middle")
    plt.show()
    places = probed.geography
    say(
        f"**In kilometres:** two listings of one market and one of {places.n_clusters} clusters lie"
        f" {places.median_km:.1f} km apart (median); any two listings of a market {places.chance_km:.1f} km."
        if places.median_km is not None
        else f"*{places.insufficient}*"
    )
    if log.styles:
        say(
            "In this marketplace four listings in five have the style of their neighbourhood, and guests look"
            " for a style: that is what the clusters find. A real city may have less to find, or more."
        )
else:
    say("*This log knows no coordinates: there is no map to draw.*")

# %% [markdown]
# ## Neighbours, listing by listing
#
# Tables persuade, neighbours convince. For one listing that many clicked, one of the middle and one of the
# tail: the five most similar listings, with their cosine as a bar. What they share with the listing on the
# left is in **bold**. The tail is where to look hardest: a listing with few clicks has little to be known
# by.

# %%
catalogue = Catalogue(items)
rec = i2v.Recommender(vectors, items=items)
for name, at in {"many clicks": 0.01, "some clicks": 0.4, "few clicks": 0.85}.items():
    asked = ids[int(at * len(ids))]
    similar, scores = rec.similar_items(asked, N=5)
    cards = [
        card(
            catalogue,
            asked,
            head=f"asked: {vectors.counts[vectors.key_to_index[asked]]:,} clicks",
            colour=INK,
        )
    ]
    cards += [
        card(catalogue, item, head=f"similar no. {place}", score=float(score), like=asked)
        for place, (item, score) in enumerate(zip(similar.tolist(), scores.tolist(), strict=True), 1)
    ]
    show(shelf(f"A listing with {name}", cards))

# %% [markdown]
# ## Two readings: what is similar, and what comes next
#
# The model keeps two vectors per listing. The cosine of the first says *what could stand in for this one*;
# the product of the first and the second says *what is clicked after it*. Similar listings are for "more
# like this"; what comes next is for a home page that knows your last clicks.

# %%
asked = ids[int(0.01 * len(ids))]
for mode, title in (("similar", "Similar: could stand in for it"), ("next", "Next: is clicked after it")):
    found, _ = rec.similar_items(asked, N=5, mode=mode)
    cards = [card(catalogue, asked, head="asked", colour=INK)]
    colour = PALETTE[0] if mode == "similar" else PALETTE[4]
    cards += [
        card(catalogue, item, head=f"no. {place}", like=asked, colour=colour)
        for place, item in enumerate(found.tolist(), 1)
    ]
    show(shelf(title, cards))
both = [set(rec.similar_items(asked, N=20, mode=mode)[0].tolist()) for mode in ("similar", "next")]
say(f"Of the first 20 of each reading, {len(both[0] & both[1])} are the same.")
