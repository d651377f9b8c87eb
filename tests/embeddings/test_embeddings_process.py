"""What only a fresh process can show: cached machine code, light imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from item2vec.embeddings import Item2Vec
from item2vec.sessions.container import Sessions

FIT = """
import json
from item2vec.embeddings import Item2Vec
from item2vec.sessions.container import Sessions
model = Item2Vec(vector_size={size}, epochs=1, workers=1, negative=3)
model.fit(Sessions.from_lists([["a", "b", "c"], ["c", "d"]] * 5), show_progress=False)
from item2vec.embeddings import alias
from item2vec.embeddings.draws import draw_windows
from item2vec.embeddings.windows import train_windows
stats = [k.stats for k in (train_windows, draw_windows, alias._fill_segments)]
print(json.dumps({{
    "hits": [sum(s.cache_hits.values()) for s in stats],
    "misses": [sum(s.cache_misses.values()) for s in stats],
    "row": model.item_vectors_["a"].tobytes().hex(),
}}))
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_new_process_finds_the_machine_code_of_every_kernel() -> None:
    run(FIT.format(size=32))
    second = json.loads(run(FIT.format(size=32)))
    assert second["misses"] == [0, 0, 0]
    assert second["hits"] == [1, 1, 1]
    padded = json.loads(run(FIT.format(size=20)))  # its rows are padded to 32 as well
    assert padded["misses"] == [0, 0, 0]


def test_two_processes_learn_the_same_bytes() -> None:
    rows = {json.loads(run(FIT.format(size=32)))["row"] for _ in range(2)}
    assert len(rows) == 1


def test_loading_vectors_imports_nothing_heavy(tmp_path: Path) -> None:
    sessions = Sessions.from_lists([["a", "b"], ["b", "c"]])
    Item2Vec(epochs=1, workers=1).fit(sessions, show_progress=False).item_vectors_.save(tmp_path)
    heavy = json.loads(
        run(f"""
import json, sys
from item2vec.embeddings import Item2Vec, ItemVectors
Item2Vec(epochs=3).get_params()
vectors = ItemVectors.load({str(tmp_path)!r})
vectors.most_similar("a")
heavy = ("torch", "numba", "llvmlite", "pandas", "sklearn", "gensim")
print(json.dumps([m for m in heavy if m in sys.modules]))
""")
    )
    assert heavy == []
