# %% [markdown]
# # 1 · What a log holds, and what becomes of it
#
# A recommender learns what its log tells it. This notebook follows every row of a log: how it is read, what
# is refused and why, where a visit ends, which clicks count, and what is left to learn from. Nothing
# disappears on the way: each picture below adds up to what came in.
#
# *Which log:* the simulated marketplace, or what `ITEM2VEC_NOTEBOOK_DATA` names (`sample`, `google_merch`,
# `trivago`). The code is short and uses public names only; you can read the pictures without it.

# %%
import gzip
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import item2vec as i2v
from cards import Catalogue, say, show, table
from drawing import BLUE, GREEN, GREY, INK, ORANGE, RED, in_thousands, style, waterfall
from logs import SAMPLE, is_small, open_log

style()
log = open_log(unfit=["airbnb_reviews"])
say(log.says)
events = log.events.to_table()
account = log.events.reconciliation
catalogue = Catalogue(log.events.items)

# %% [markdown]
# ## One visit, row by row
#
# This is what a log looks like from close by: a guest is shown listings, opens some, stays on a page for a
# while, and maybe books. *Dwell* is how long they stayed; where the log does not say it, it is measured to
# the next click on something else.

# %%
rules = log.session_rules
sessions = log.sessions()
lengths = np.diff(sessions.offsets)
with_booking = np.diff(sessions.booked_offsets) > 0
telling = np.flatnonzero((lengths >= 4) & (lengths <= 7) & with_booking)
one = int(telling[0]) if len(telling) else int(np.argmax(lengths))
of_guest = pc.and_(
    pc.equal(events["user_id"], sessions.user_ids[one].as_py()),
    pc.and_(
        pc.greater_equal(events["ts_us"], int(sessions.start_us[one])),
        pc.less_equal(events["ts_us"], int(sessions.end_us[one]) + 24 * 3_600_000_000),
    ),
)
visit = events.filter(pc.and_(of_guest, pc.not_equal(events["event_type"], "impression"))).slice(0, 14)
start = visit["ts_us"][0].as_py()


def since(ts_us):
    """Return the time since the visit's first row as hours:minutes:seconds."""
    seconds = (ts_us - start) // 1_000_000
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


show(
    table(
        ["after h:m:s", "event", "listing", "what it is", "dwell, s"],
        [
            (
                since(row["ts_us"]),
                row["event_type"],
                row["item_id"],
                catalogue.short(row["item_id"]),
                "–" if row["dwell_seconds"] is None else f"{row['dwell_seconds']:.0f}",
            )
            for row in visit.to_pylist()
        ],
    )
)
say(f"{visit.num_rows} rows of one guest; what they were only shown is left out of this table.")

# %% [markdown]
# ## What kinds of events there are
#
# Clicks teach the vectors; bookings are what it is all for, and they are rare. That is why the model uses a
# booking more than once: as the goal of every click of its session (eq. 4 of the paper), and to learn types
# of users and of listings.

# %%
counts = dict(sorted(account.events.items(), key=lambda entry: entry[1]))
figure, axes = plt.subplots(figsize=(8.2, 0.5 * len(counts) + 1))
colours = {"click": BLUE, "booking": GREEN}
axes.barh(list(counts), list(counts.values()), color=[colours.get(name, GREY) for name in counts])
for place, n in enumerate(counts.values()):
    axes.text(n * 1.1, place, f"{n:,}", va="center", color=INK, fontsize=10)
axes.set_xscale("log")
axes.set_xlim(right=max(counts.values()) * 6)
axes.grid(axis="y", visible=False)
axes.set_xlabel("events (logarithmic)")
axes.set_title("Events by type")
plt.show()

# %% [markdown]
# ## Every source row is accounted for
#
# `rows in = ok + duplicate + quarantined + ignored`, and the sum is checked at every read. A log that a
# program writes carefully has little to refuse. So the committed sample is **damaged on purpose** here,
# with faults that real exports have. What is refused is kept with its file, line, reason and text, so that
# somebody can mend it.


# %%
def outcomes(found):
    """Return the account of one read as steps of a waterfall."""
    steps = [("rows in", found.rows_in)]
    steps += [(f"quarantined: {reason}", n) for reason, n in found.quarantined.items()]
    steps += [(f"ignored: {value}", n) for value, n in found.ignored.items()]
    return [*steps, ("exact duplicates", found.duplicate)] if found.duplicate else steps


def damage(line, n):
    """Break every so-and-so-manieth line in its own way."""
    cells = line.split(",")
    if n % 13 == 0:
        cells[1] = '"yesterday"'  # a time that is none
    elif n % 17 == 0:
        cells[5] = ""  # an event of no listing
    elif n % 19 == 0:
        cells[4] = '"clik"'  # an event type that nobody knows
    elif n % 23 == 0:
        cells[4] = '"page_ping"'  # one that the mapping declares unwanted
    elif n % 29 == 0:
        return f"{line}\n{line}"  # sent twice
    elif n % 31 == 0:
        return line[: len(line) // 2]  # cut off in the middle
    return ",".join(cells)


with tempfile.TemporaryDirectory() as folder:
    head, *lines = gzip.decompress((SAMPLE / "events.csv.gz").read_bytes()).decode().splitlines()
    broken = Path(folder) / "broken.csv"
    broken.write_text("\n".join([head, *(damage(line, n) for n, line in enumerate(lines, 1))]) + "\n")
    damaged = i2v.read_events(broken, event_types={"page_ping": "ignore"}, max_quarantined=1.0)
    refused = damaged.quarantine()

steps = {
    "of this log": outcomes(account),
    "of the sample, damaged on purpose,": outcomes(damaged.reconciliation),
}
if account.ok == account.rows_in:
    say(f"**This log:** {account.rows_in:,} rows came in, and all of them are ok. No picture is needed.")
    del steps["of this log"]
sizes = [len(one) + 1.5 for one in steps.values()]
figure, panels = plt.subplots(
    len(steps), 1, figsize=(9, 0.42 * sum(sizes) + 0.8), height_ratios=sizes, squeeze=False
)
for axes, (name, found) in zip(panels[:, 0], steps.items(), strict=True):
    waterfall(axes, found, "source rows")
    axes.set_title(f"Where the rows {name} went")
plt.show()
examples = [
    refused.filter(pc.equal(refused["reason"], reason)).slice(0, 1) for reason in pc.unique(refused["reason"])
]
show(
    table(
        ["file", "line", "reason", "raw text"],
        [
            (Path(row["file"]).name, row["line"], row["reason"], row["raw"][:70] + "…")
            for row in pa.concat_tables(examples).to_pylist()
        ],
    )
)
say(f"One example for each reason, out of {refused.num_rows:,} rows in quarantine.")

# %% [markdown]
# ## Where a visit ends
#
# A pause of more than 30 minutes between two clicks starts a new session. The picture shows all pauses
# between a guest's clicks. A good line lies in the valley between the pauses *within* a visit and those
# *between* visits: then it hardly matters where exactly it lies.

# %%
MINUTE = 60
TICKS = {
    1: "1 s",
    10: "10 s",
    MINUTE: "1 min",
    10 * MINUTE: "10 min",
    3600: "1 h",
    86_400: "1 day",
    864_000: "10 days",
}


def time_axis(axes, low, high):
    """Label a logarithmic axis of seconds in the words people use."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    inside = {at: name for at, name in TICKS.items() if low <= at <= high}
    axes.set_xticks(list(inside), list(inside.values()))
    axes.minorticks_off()


clicks = events.filter(pc.equal(events["event_type"], "click"))
guest = clicks["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
at_s = clicks["ts_us"].to_numpy() / 1e6
same_guest = guest[1:] == guest[:-1]
pauses = np.diff(at_s)[same_guest]
gap_s = rules["gap_minutes"] * MINUTE
figure, axes = plt.subplots(figsize=(9, 3.4))
bins = np.r_[np.geomspace(1, gap_s, 44)[:-1], np.geomspace(gap_s, 60 * 86_400, 44)]
for colour, part, name in (
    (BLUE, pauses <= gap_s, "within a session"),
    (ORANGE, pauses > gap_s, "between sessions"),
):
    axes.hist(pauses[part], bins=bins, color=colour, label=f"{name}: {part.mean():.0%}")
axes.axvline(gap_s, color=INK, linewidth=1.5)
axes.set_ylim(top=axes.get_ylim()[1] * 1.12)
axes.text(gap_s * 1.08, axes.get_ylim()[1] * 0.98, f"{rules['gap_minutes']:g} min", color=INK, va="top")
time_axis(axes, 1, bins[-1])
axes.set_xlabel("pause between two clicks of one guest (logarithmic)")
axes.set_ylabel("pauses")
in_thousands(axes.yaxis)
axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
plt.show()
near = np.mean((pauses > gap_s / 2) & (pauses <= gap_s * 2))
say(
    f"**How sharp is the valley?** {near:.1%} of the pauses lie between {gap_s / 120:g} and {gap_s / 30:g}"
    " minutes: so many would change sides if the line were half or twice as far."
    f" {np.mean(pauses < 1):.1%} are shorter than a second (an entry of a list and its page, say): not drawn."
)

# %% [markdown]
# ## Which clicks count
#
# Opening a page and leaving it at once is no interest. The paper drops clicks with less than 30 seconds on
# the page. A stay of unknown length (the last click of a visit, in logs that do not measure it) is kept:
# not knowing is no reason to drop.

# %%
DWELL = 30.0
dwell = clicks["dwell_seconds"].to_numpy(zero_copy_only=False).astype(float)
if np.isnan(dwell).all():  # the log does not say: the time to the session's next click on something else
    listing = clicks["item_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    goes_on = np.r_[False, same_guest & (np.diff(at_s) <= gap_s)]
    first_of_run = np.flatnonzero(~(goes_on & np.r_[False, listing[1:] == listing[:-1]]))
    dwell = np.r_[np.diff(at_s[first_of_run]), np.nan]
    dwell[np.r_[~goes_on[first_of_run[1:]], True]] = np.nan
known = dwell[np.isfinite(dwell)]
figure, axes = plt.subplots(figsize=(9, 3.4))
bins = np.r_[np.geomspace(0.5, DWELL, 40)[:-1], np.geomspace(DWELL, max(known.max(), 60), 40)]
for colour, part, name in (
    (ORANGE, known < DWELL, "shorter"),
    (BLUE, known >= DWELL, "long enough"),
):
    axes.hist(np.maximum(known[part], 0.5), bins=bins, color=colour, label=f"{name}: {part.mean():.0%}")
axes.axvline(DWELL, color=INK, linewidth=1.5)
axes.set_ylim(top=axes.get_ylim()[1] * 1.12)
axes.text(DWELL * 1.06, axes.get_ylim()[1] * 0.98, f"{DWELL:g} s", color=INK, va="top")
time_axis(axes, 0.5, bins[-1])
axes.set_xlabel("time on the page (logarithmic)")
axes.set_ylabel("clicks")
in_thousands(axes.yaxis)
axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
plt.show()
used = "is on" if rules.get("min_dwell_seconds") else "is off"
say(
    f"{len(dwell) - len(known):,} stays are of unknown length."
    f" In this log's run file the dwell rule **{used}**."
)

# %% [markdown]
# ## The funnel: from clicks to what is learned from
#
# Rule after rule, in the order in which they are applied. The last one is in the method's nature: one click
# alone has no neighbour to learn from, so a session needs two. Below it, where the bookings went: a booking
# belongs to the latest session that clicked the listing, else to one in its market, and what finds none is
# counted too.

# %%
WORDS = {
    "in": "clicks in the log",
    "over_active": "of guests who click like robots",
    "short_dwell": "left again too soon",
    "few_users": "on listings with too few guests",
    "repeats": "the same listing again",
    "repeated_pairs": "pairs seen before that day",
    "too_short": "in sessions left too short",
}
ATTRIBUTED = {
    "booked_clicked": "to a session that clicked the listing",
    "booked_market": "to a session in the same market",
    "unattributed": "to none",
    "over_active": "of dropped guests",
    "few_users": "of listings with too few guests",
}
funnel = sessions.funnel
steps = [(WORDS[name], n) for name, n in funnel["clicks"].items() if name in WORDS and (n or name == "in")]
booked = {ATTRIBUTED[name]: funnel["bookings"].get(name, 0) for name in ATTRIBUTED}
booked = {name: n for name, n in booked.items() if n} or {ATTRIBUTED["unattributed"]: 0}
figure, (top, below) = plt.subplots(
    2,
    1,
    figsize=(9, 0.42 * (len(steps) + len(booked)) + 2.2),
    height_ratios=[len(steps) + 1.5, len(booked) + 1],
)
waterfall(top, steps, "clicks")
top.set_title("What each rule takes from the clicks")
total = max(funnel["bookings"]["in"], 1)
below.barh(
    list(booked), list(booked.values()), color=[GREEN if "session" in name else ORANGE for name in booked]
)
for place, n in enumerate(booked.values()):
    below.text(n + total * 0.012, place, f"{n:,} ({n / total:.1%})", va="center", color=INK, fontsize=10)
below.set_xlim(0, max(*booked.values(), 1) * 1.25)
below.invert_yaxis()
below.grid(axis="y", visible=False)
in_thousands(below.xaxis)
below.set_xlabel("bookings")
below.set_title("Where the bookings went")
plt.show()
assert funnel["clicks"]["in"] == sum(n for name, n in funnel["clicks"].items() if name != "in")
say(
    f"What is left: **{len(sessions):,} sessions** of {sessions.n_clicks:,} clicks"
    f" on {sessions.n_items:,} listings."
)

# %% [markdown]
# ## How long the sessions are, and how much hangs on the two numbers
#
# Most sessions are short, so a model must make much of two or three clicks. On the right the same log with
# other numbers: along a flat line, the exact number hardly matters; where lines lie far apart it is a
# choice, and you make it with your own log before your eyes.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.8))
LONGEST = 15
shown = np.bincount(np.minimum(lengths, LONGEST), minlength=LONGEST + 1)[2:]
left.bar(range(2, LONGEST + 1), 100 * shown / len(lengths), color=BLUE)
left.set_xticks([2, 4, 6, 8, 10, 12, LONGEST], ["2", "4", "6", "8", "10", "12", f"{LONGEST}+"])
left.grid(axis="x", visible=False)
left.set_xlabel("clicks in a session")
left.set_ylabel("sessions, %")
left.set_title(f"Session lengths (median {np.median(lengths):g})")
GAPS = [10, 30, 120] if is_small() else [10, 20, 30, 60, 120]
for seconds, marker, colour in zip((None, 10, 30, 60), "osD^", (GREY, BLUE, GREEN, RED), strict=True):
    kept = [log.sessions(gap_minutes=gap, min_dwell_seconds=seconds).n_clicks for gap in GAPS]
    name = "no dwell rule" if seconds is None else f"dwell ≥ {seconds} s"
    right.plot(GAPS, kept, marker=marker, color=colour, label=name)
right.set_xscale("log")
right.set_xticks(GAPS, [str(gap) for gap in GAPS])
right.minorticks_off()
right.set_ylim(bottom=0)
in_thousands(right.yaxis)
right.set_xlabel("gap that ends a session, minutes")
right.set_ylabel("clicks kept")
right.set_title("Clicks kept under other rules")
right.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
plt.show()

# %% [markdown]
# ## Guards against planted sessions
#
# Whoever can write into the log can lift a listing into other listings' lists: a few accounts click it
# together with a popular listing and those shown beside that, over and over. Here we do that to our own
# log, with one per cent fake sessions for a listing that hardly anybody knows. `sessionize` has guards
# against it. Their numbers come from clean days: here the cap is what 99.9 % of the guests stay within.

# %%
ids = sessions.item_ids.to_pylist()
by_clicks = np.argsort(-np.bincount(sessions.tokens, minlength=len(ids)), kind="stable")
known = sessions.markets >= 0
busiest = np.bincount(sessions.markets[known]).argmax() if known.any() else -1
local = [num for num in by_clicks if busiest < 0 or sessions.markets[num] == busiest]
target = ids[local[-1]]
if log.events.items is not None and busiest >= 0:  # better still: a listing that nobody has seen
    here = log.events.items.filter(pc.equal(log.events.items["market"], sessions.market_names[busiest]))
    target = next((item for item in here["item_id"].to_pylist() if item not in set(ids)), target)
clean = i2v.Recommender(log.train(sessions).item_vectors_)
star = ids[local[0]]
victims = [star, *clean.similar_items(star, N=9)[0].tolist()]
per_account = 14
n_fake = max(len(sessions) // 100, 3 * per_account)


def planted(session_number):
    """Return two clicks: the target, then one of the popular listings, as a patient guest would make them."""
    account_number, start = (
        session_number // per_account,
        at_s.min() + (session_number % per_account) * 2.1 * 86_400,
    )
    for step, item in enumerate((target, victims[session_number % len(victims)])):
        yield {
            "user_id": f"account-{account_number}",
            "ts_us": int((start + 3600 * account_number + 90 * step) * 1e6),
            "seq": step,
            "event_id": f"fake-{session_number}-{step}",
            "event_type": "click",
            "item_id": item,
            "dwell_seconds": 80.0,
        }


fakes = pa.Table.from_pylist([row for n in range(n_fake) for row in planted(n)], events.schema)
with tempfile.TemporaryDirectory() as folder:
    pq.write_table(pa.concat_tables([events, fakes]), Path(folder) / "log.parquet")
    attacked = i2v.read_events(Path(folder) / "log.parquet", columns={"ts": "ts_us"})


def most_sessions_with_one_item(found):
    """Return, per user, in how many sessions they saw the one item they came back to most."""
    owner = np.repeat(found.user_ids.dictionary_encode().indices.to_numpy(), np.diff(found.offsets)).astype(
        np.int64
    )
    session = np.repeat(np.arange(len(found)), np.diff(found.offsets))
    seen = np.unique(np.stack([owner, found.tokens, session]), axis=1)
    pairs, n = np.unique(seen[:2], axis=1, return_counts=True)
    most = np.zeros(owner.max() + 1, int)
    np.maximum.at(most, pairs[0], n)
    return most, found.user_ids.dictionary_encode().dictionary.to_pylist()


as_split = {**rules, "min_dwell_seconds": None, "min_length": 1}
most, _ = most_sessions_with_one_item(log.sessions(**as_split))
cap = int(np.ceil(np.quantile(most, 0.999)))
log_with_fakes = i2v.sessionize(attacked, **as_split)
most_attacked, names = most_sessions_with_one_item(log_with_fakes)
is_fake = np.array([name.startswith("account-") for name in names])


def lists_with_target(found):
    """Train, and count the listings of its market that show the target among ten, in either reading."""
    rec = i2v.Recommender(log.train(found).item_vectors_)
    asked = [item for item in neighbourhood if item in rec.vectors]
    lists = {mode: rec.similar_items(asked, N=10, mode=mode)[0] for mode in ("similar", "next")}
    return {mode: int((ids == target).any(axis=1).sum()) for mode, ids in lists.items()}


neighbourhood = [ids[num] for num in local if ids[num] != target]
guarded = i2v.sessionize(attacked, **{**rules, "max_sessions_per_user_item": cap})
versions = {
    "the log as it is": sessions,
    "with planted sessions": i2v.sessionize(attacked, **rules),
    "planted, with the guard": guarded,
}
figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.6), width_ratios=[1.3, 1])
span = np.arange(1, max(most_attacked.max(), cap) + 2)
for colour, part, name in ((BLUE, ~is_fake, "guests"), (RED, is_fake, "planted accounts")):
    left.bar(span, np.bincount(most_attacked[part], minlength=len(span) + 1)[1:], color=colour, label=name)
left.axvline(cap + 0.5, color=INK, linewidth=1.5)
left.text(cap + 0.7, left.get_ylim()[1] * 0.6, f"cap: {cap}", color=INK)
left.set_yscale("log")
left.set_xlabel("sessions in which a user comes back to one listing")
left.set_ylabel("users (logarithmic)")
left.set_title("Planters come back too often")
left.legend(loc="upper right")
shown = {name: lists_with_target(found) for name, found in versions.items()}
largest = max(4, *(n for counts in shown.values() for n in counts.values()))
for shift, mode, colour in ((-0.18, "similar", BLUE), (0.18, "next", ORANGE)):
    places = np.arange(len(shown)) + shift
    numbers = [counts[mode] for counts in shown.values()]
    right.barh(places, numbers, height=0.34, color=colour, label=f"lists of “{mode}”")
    for place, n in zip(places, numbers, strict=True):
        right.text(n + 0.02 * largest, place, str(n), va="center", color=INK)
right.set_yticks(range(len(shown)), list(shown))
right.legend(loc="upper right", fontsize=10)
right.invert_yaxis()
right.set_xlim(0, largest * 1.2)
in_thousands(right.xaxis)
right.grid(axis="y", visible=False)
right.set_xlabel(f"lists that show it, of {len(neighbourhood)} listings in its market")
right.set_title("What the attack gains")
plt.show()
left_over = sum(name.startswith("account-") for name in pc.unique(guarded.user_ids).to_pylist())
guests = sum(most_attacked[~is_fake] > cap)
say(
    f"{n_fake:,} sessions were planted by {is_fake.sum()} accounts; {left_over} of these accounts get past"
    f" the guard, and it costs {guests:,} of {np.sum(~is_fake):,} guests. An attacker who knows the cap needs"
    f" {int(np.ceil(n_fake / cap))} accounts for as much: a guard sets a price, it is no wall."
)
