"""A catalogue of hostile texts, and explorers over it in threads of this process."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pyarrow as pa
import uvicorn
from serving_world import free_port

import item2vec as i2v
from item2vec.serving import Engine, ServeSettings, create_app
from item2vec.serving.logs import LogLines
from item2vec.vocabulary import Vocabulary

HOSTILE = [
    "<script>window.pwned=1</script>",
    "</title><script>window.pwned=2</script>",
    "<img src=x onerror=window.pwned=3>",
    "<svg onload=window.pwned=4><animate onbegin=window.pwned=4 attributeName=x dur=1s>",
    '"><script>window.pwned=5</script>',
    "' onmouseover='window.pwned=6' x='",
    '" onfocus="window.pwned=7" autofocus tabindex="1" x="',
    "javascript:window.pwned=8",
    "<iframe srcdoc='<script>parent.pwned=9</script>'></iframe>",
    "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<base href=//evil.example/>",
    "<form action=//evil.example><button>go</button></form>",
    '<div hx-get="/explore" hx-trigger="load" hx-on::load="window.pwned=14">',
    "{{ 7*7 }}{% raw %}<b>bold</b>",
    "${7*7} #{7*7} <%= 7*7 %>",
    "&lt;script&gt;window.pwned=17&lt;/script&gt; &amp;amp; &#x3c;b&#x3e;",
    "<!-- comment --> ]]> <![CDATA[ x ]]>",
    "</dl></li></ol></main></body></html>",
    "\u202egnihtemos\u202c \u2067right to left\u2069 \u202e",
    "שלום עולם مرحبا بالعالم",
    "Z\u0351\u034b\u0308\u0300\u0301\u0302a\u0351\u034b\u0308\u0300\u0301l\u0351\u034b" * 12,
    "👩‍👩‍👧‍👦🏳️‍🌈👨🏽‍💻" * 8,
    "W" * 250,
    "a b\u00a0c\u200b\u2028\u2029d\ufeff",
    "../../../../etc/passwd?x=1#frag&id=2%2f%00",
    "50% off & more; 'quotes' \"double\" `back` \\slash\\",
    "+1 =cmd|' /C calc'!A0 @SUM(1)",
    "\u0130stanbul ﬁ ß ǅ",
    " leading and trailing ",
]
N_PLAIN = 70
LONG_TITLE = "A long flat " * 900
MARKETS = ["Paris", "Rome", "<b>Bologna</b>", "\u202eemoR"]


def ids_of(plain: int = N_PLAIN) -> list[str]:
    return [*HOSTILE, *(f"P{one:04d}" for one in range(plain))]


def hostile_items(ids: list[str]) -> pa.Table:
    rng = np.random.default_rng(3)
    titles = [*HOSTILE, LONG_TITLE, *(f"Flat number {one}" for one in range(len(ids)))][: len(ids)]
    n = len(ids)
    columns: dict[str, Any] = {
        "item_id": ids,
        "title": titles,
        "market": [MARKETS[one % len(MARKETS)] for one in range(n)],
        "listing_type": [("Entire home", "Room", 'x" onclick="window.pwned=30')[one % 3] for one in range(n)],
        "price": np.round(rng.uniform(20, 300, n)),
        "capacity": rng.integers(1, 9, n),
        "latitude": 48.8 + rng.uniform(-0.1, 0.1, n),
        "longitude": 2.3 + rng.uniform(-0.1, 0.1, n),
        "<i>odd</i> column": [HOSTILE[one % len(HOSTILE)] for one in range(n)],
    }
    return pa.table(columns)


def hostile_recommender(*, with_items: bool = True, with_places: bool = True) -> i2v.Recommender:
    ids = ids_of()
    rng = np.random.default_rng(2)
    vocabulary = Vocabulary(pa.array(ids), np.arange(2 * len(ids), len(ids), -1))
    tables = [rng.standard_normal((len(ids), 8)).astype(np.float32) for _ in range(2)]
    vectors = i2v.ItemVectors(vocabulary, *tables)
    items = hostile_items(ids)
    if not with_places:
        items = items.drop_columns(["latitude", "longitude"])
    return i2v.Recommender(vectors, items=items if with_items else None)


class Explorer(NamedTuple):
    """A running server."""

    url: str
    engine: Engine
    client: httpx.Client
    log: io.BytesIO


@contextmanager
def explorer(shop: Path, rec: i2v.Recommender, **settings: Any) -> Iterator[Explorer]:
    """Serve a recommender, under the name of the shop's release, in a thread."""
    engine = Engine(ServeSettings(run=shop, history="sqlite://", **settings), lambda release: rec)
    engine.start()
    log = io.BytesIO()
    lines = LogLines(log)
    port = free_port()
    app: Any = create_app(engine, lines=lines)
    config = uvicorn.Config(app, port=port, log_level="error", access_log=False, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(500):
            if server.started:
                break
            time.sleep(0.01)
        with httpx.Client(base_url=url, timeout=20, trust_env=False) as client:
            yield Explorer(url, engine, client, log)
    finally:
        server.should_exit = True
        thread.join(10)
        engine.stop()
        lines.close()
