"""The lookup API beside an empty route of its framework: `python -m benchmarks.serving --help`.

wrk and hey run on the same cores as the server, over loopback; one worker; logs, metrics and ETags on. The
empty FastAPI route runs in a server of the same kind and takes turns with what it is compared to. Ids are
drawn by Zipf's law; histories are those of simulated guests, and beside them some over all markets. `hey`
holds a rate of 1,000 requests a second; wrk asks as fast as it is answered.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import swaps
from benchmarks.guests import EVENTS, Shop, drawn_items, generated_shop, spread, trained_shop
from benchmarks.lookup import clustered
from benchmarks.machine import table
from item2vec.artifacts import Release, RunFolder, Stage, publish, run_stages
from item2vec.embeddings import ItemVectors
from item2vec.index import ItemIndex
from item2vec.recommendations import HistoryScoring, NeighbourTable, Recommender, UserEvent
from item2vec.run.load import SCORING

K, NEIGHBOURS, ZIPF, DRAWS, RATE = 12, 50, 1.0, 20_000, 1000
EMPTY = """
from fastapi import FastAPI
app = FastAPI()
@app.get("/empty")
async def empty():
    return {}
"""
Ask = Callable[[], float]


def release_of(vectors: ItemVectors, run: Path, items: pa.Table | None = None) -> Release:
    """Publish vectors as a run does, with an item table, both indexes and a table of neighbours."""

    def embeddings(inputs: Any, out: Path) -> dict[str, Any]:
        vectors.save(out / "vectors")
        return {"items": len(vectors)}

    def index(inputs: Any, out: Path) -> dict[str, Any]:
        shown = drawn_items(vectors) if items is None else items
        pq.write_table(shown, out / "items.parquet", write_page_checksum=True)
        indexes = {mode: ItemIndex.build(vectors, mode=mode) for mode in ("similar", "next")}
        for mode, one in indexes.items():
            one.save(out / mode)
        NeighbourTable.build(Recommender(vectors, index=indexes), NEIGHBOURS).save(out / "neighbours")
        (out / SCORING).write_text(json.dumps(asdict(HistoryScoring())), "utf-8")
        return {"recall@10": indexes["similar"].recall}

    digest = hashlib.sha256(np.ascontiguousarray(vectors.vectors).data).hexdigest()
    folder = RunFolder(run)
    with folder.lock():
        stages = [
            Stage("embeddings", 1, {"vectors": digest}, embeddings),
            Stage("index", 1, {}, index, ("embeddings",)),
        ]
        return publish(folder, run_stages(folder, stages))


@contextmanager
def process(command: Sequence[str], log: Path, **changes: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends."""
    with open(log, "wb") as out:
        one = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **changes})
    try:
        yield one
    finally:
        one.send_signal(signal.SIGTERM)
        one.wait(30)


def until_answered(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    while True:
        if process.poll() is not None:
            raise SystemExit(log.read_text())
        try:
            urllib.request.urlopen(url, timeout=5).read()
            return
        except OSError:
            time.sleep(0.005)


def wrk(url: str, script: Path | None, seconds: int) -> float:
    """Requests per second; anything but 200 is an error."""
    command = ["wrk", "-t1", "-c8", f"-d{seconds}s", "--latency"]
    command += [] if script is None else ["-s", str(script)]
    done = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in done or "Socket errors" in done:
        raise SystemExit(done)
    found = re.search(r"Requests/sec:\s+([\d.]+)", done)
    assert found is not None
    return float(found[1])


def gets(ids: Sequence[str], path: Path) -> Path:
    """A script for wrk: look-ups by id, ids by Zipf's law."""
    weights = 1 / np.arange(1, len(ids) + 1) ** ZIPF
    drawn = np.random.default_rng(3).choice(len(ids), DRAWS, p=weights / weights.sum())
    path.write_text(
        "local ids = {" + ",".join(f'"{ids[one]}"' for one in drawn) + "}\nlocal all, i = {}, 0\n"
        "init = function() for n = 1, #ids do"
        f' all[n] = wrk.format("GET", "/v1/items/" .. ids[n] .. "/similar?k={K}") end end\n'
        "request = function() i = i % #all + 1; return all[i] end\n"
    )
    return path


def posts(target: str, bodies: Sequence[Any], path: Path) -> Path:
    """A script for wrk: bodies that take turns."""
    texts = ",".join(f"[==[{json.dumps(one)}]==]" for one in bodies)
    path.write_text(
        f"local bodies = {{{texts}}}\nlocal all, i = {{}}, 0\n"
        'init = function() wrk.headers["Content-Type"] = "application/json"; for n = 1, #bodies do'
        f' all[n] = wrk.format("POST", "{target}", nil, bodies[n]) end end\n'
        "request = function() i = i % #all + 1; return all[i] end\n"
    )
    return path


def hey(url: str, seconds: int) -> dict[str, float]:
    """Milliseconds at 1,000 requests a second: p50, p99; and the rate that was held."""
    command = ["hey", "-z", f"{seconds}s", "-c", "8", "-q", str(RATE // 8), url]
    done = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if re.search(r"\[[45]\d\d\]", done):
        raise SystemExit(done)
    found = {name: 1e3 * float(re.search(rf"{name}% in ([\d.]+) secs", done)[1]) for name in ("50", "99")}  # type: ignore[index]
    return found | {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", done)[1])}  # type: ignore[index]


def in_turns(asks: dict[str, Ask], rounds: int) -> dict[str, float]:
    """Ask each in turn, several times; return the medians."""
    found: dict[str, list[float]] = {name: [] for name in asks}
    for _ in range(rounds):
        for name, ask in asks.items():
            found[name].append(ask())
    return {name: statistics.median(several) for name, several in found.items()}


def questions(histories: Sequence[Sequence[UserEvent]]) -> list[dict[str, Any]]:
    """Ask for a list just after the last event of each history."""
    return [
        {
            "events": [
                {name: value for name, value in one._asdict().items() if value is not None} for one in events
            ],
            "as_of_us": max(one.ts_us for one in events) + 1,
            "k": K,
        }
        for events in histories
    ]


def measure(run: Path, shop: Shop, folder: Path, rounds: int, seconds: int) -> None:
    """Print the table."""
    ids = shop.vectors.index_to_key
    (folder / "empty_app.py").write_text(EMPTY)
    granian = [
        sys.executable,
        "-m",
        "granian",
        "--interface",
        "asgi",
        "--no-ws",
        "--http",
        "1",
        "--log-level",
        "warning",
    ]
    serve = [sys.executable, "-m", "item2vec.cli", "serve", str(run), "--port", "8151"]
    api, log = "http://127.0.0.1:8151", folder / "api.log"
    started = time.perf_counter()
    with (
        process([*serve, "--history", str(folder / "h.db")], log) as server,
        process(
            [*granian, "--port", "8152", "empty_app:app"], folder / "empty.log", PYTHONPATH=_with(folder)
        ) as empty,
    ):
        until_answered(f"{api}/readyz", server, log)
        ready = time.perf_counter() - started
        until_answered("http://127.0.0.1:8152/empty", empty, folder / "empty.log")
        by_id = gets(ids, folder / "get.lua")
        guests = posts("/v1/recommend", questions(shop.guests), folder / "guests.lua")
        anywhere = spread(shop.vectors, time.time_ns() // 1000)
        worst = posts("/v1/recommend", questions(anywhere), folder / "worst.lua")
        found = in_turns(
            {
                "empty": lambda: wrk("http://127.0.0.1:8152/empty", None, seconds),
                "by id": lambda: wrk(api, by_id, seconds),
                "recommend": lambda: wrk(api, guests, seconds),
                "all markets": lambda: wrk(api, worst, seconds),
            },
            rounds,
        )
        steady = hey(f"{api}/v1/items/{ids[0]}/similar?k={K}", 2 * seconds)
        (worker,) = swaps.children(server.pid)
        memory = swaps.resident_mb(worker), swaps.resident_mb(server.pid)
    rows = [
        ["empty FastAPI route, requests/s", f"{found['empty']:,.0f}", ""],
        [
            "similar by id, requests/s",
            f"{found['by id']:,.0f}",
            f"≥ 80 % of it: {found['by id'] / found['empty']:.0%}",
        ],
        [f"recommend, a guest's {EVENTS} events, requests/s", f"{found['recommend']:,.0f}", "≥ 1,200"],
        [f"the same, {EVENTS} events over all markets (worst case)", f"{found['all markets']:,.0f}", ""],
        [
            f"p50; p99 at {steady['rate']:,.0f} requests/s, ms",
            f"{steady['50']:.1f}; {steady['99']:.1f}",
            "p99 ≤ 5",
        ],
        ["start to ready, s", f"{ready:.1f}", "≤ 2"],
        ["memory of the worker; of its parent, MB", f"{memory[0]}; {memory[1]}", "≤ 300"],
    ]
    print(table(["", "", "bar"], rows))


def swap(folder: Path, n_items: int, seconds: float) -> None:
    """Swaps and damage under 200 requests a second: print what failed, what was mixed, and the memory."""
    first, second, bad = (release_of(clustered(n_items, seed), folder / "shop") for seed in (1, 2, 3))
    swaps.damage(bad, "next/vectors.npy")
    swaps.name_current(first)
    log = folder / "swaps.log"
    serve = [sys.executable, "-m", "item2vec.cli", "serve", str(folder / "shop"), "--port", "8151"]
    with process([*serve, "--poll-seconds", "0.2", "--history", str(folder / "h.db")], log) as server:
        until_answered("http://127.0.0.1:8151/readyz", server, log)
        (worker,) = swaps.children(server.pid)
        found = swaps.campaign(
            "http://127.0.0.1:8151",
            (first, second),
            bad,
            lambda n: until_logged(log, "release_swapped", n),
            lambda n: until_logged(log, "release_refused", n),
            swaps=20,
            seconds=seconds,
            rate=200,
            pid=worker,
        )
    counts = f"{found.failed} failed, {found.mixed} mixed, {found.stale} stale"
    print(f"{found.asked:,} requests, 20 swaps, 5 damaged releases: {counts}")
    print(f"memory after each swap, MB: {', '.join(map(str, found.memory_mb))}")


def until_logged(log: Path, event: str, n: int) -> None:
    for _ in range(6000):
        if log.read_bytes().count(f'"event": "{event}"'.encode()) >= n:
            return
        time.sleep(0.02)
    raise SystemExit(log.read_text()[-2000:])


def _with(folder: Path) -> str:
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--generated", action="store_true", help="vectors in groups instead of trained ones")
    parser.add_argument("--swaps", type=int, metavar="SECONDS", help="swaps and damage under load instead")
    options = parser.parse_args(arguments)
    missing = [name for name in ("wrk", "hey") if shutil.which(name) is None]
    if missing and options.swaps is None:
        print(f"not measured: {' and '.join(missing)} missing (apt-get install {' '.join(missing)})")
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if options.swaps is not None:
            swap(folder, options.items, options.swaps)
            return
        shop = (generated_shop if options.generated else trained_shop)(options.items, folder)
        vectors = shop.vectors
        release_of(vectors, folder / "shop", shop.items)
        print(f"{len(vectors):,} items × {vectors.vector_size}, k = {K}, medians of {options.rounds}\n")
        measure(folder / "shop", shop, folder, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
