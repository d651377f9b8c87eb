"""Memory: what a training takes is known before it starts, and what does not fit is refused with figures."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cluster_world import cluster_lists, small

from item2vec.embeddings import memory, opening
from item2vec.embeddings.corpus import build_corpus
from item2vec.embeddings.memory import MemoryNeed, available_memory, check_memory
from item2vec.errors import TrainingError
from item2vec.sessions.container import Sessions

MB = 1_000_000
NEED = MemoryNeed("5 items × 3 numbers", tables=4_000 * MB, copies=3 * MB, threads=2 * MB, order=MB)


def test_what_does_not_fit_is_refused_with_figures(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="item2vec"):
        check_memory(NEED, available=NEED.total)
    assert "5 items × 3 numbers takes about 4.0 GB" in caplog.text
    assert "3.0 MB for copies" in caplog.text
    with pytest.raises(
        TrainingError, match=r"4\.0 GB for the tables.*only 4\.0 GB are available.*vector_size"
    ):
        check_memory(NEED, available=NEED.total - 1)


@contextmanager
def no_more_than(n_bytes: int) -> Iterator[None]:
    """Let this process take so much more address space and no more."""
    import resource

    size = int(Path("/proc/self/status").read_text().split("VmSize:")[1].split()[0]) * 1024
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the limit is set from what Linux tells")
@pytest.mark.parametrize(
    ("kept", "room", "need"),
    [("", 200, r"4\d\d\.\d MB"), ("scores", 580, r"6\d\d\.\d MB"), ("checkpoints", 580, r"6\d\d\.\d MB")],
)
def test_fit_refuses_before_it_allocates(tmp_path: Path, kept: str, room: int, need: str) -> None:
    """580 MB hold a training without copies of the best epoch or of a checkpoint's bytes."""
    sessions = Sessions.from_lists([[k, k + 1] for k in range(20_000)])
    model = small(vector_size=1024, epochs=1)
    options: dict[str, Any] = {
        "": {},
        "scores": {"validate": lambda _: 1.0},
        "checkpoints": {"checkpoint_dir": tmp_path},
    }[kept]
    words = rf"training 20,001 items × 1024 numbers takes about {need}.*only"
    with no_more_than(room * MB), pytest.raises(TrainingError, match=words):
        model.fit(sessions, show_progress=False, **options)
    assert not hasattr(model, "item_vectors_")


def arrays(value: Any) -> dict[int, int]:
    """Bytes of every array in nested tuples, lists and objects of the engine, by where they lie."""
    if isinstance(value, np.ndarray):
        return {value.__array_interface__["data"][0]: value.nbytes}
    parts = value if isinstance(value, tuple | list) else ()
    return {place: size for part in parts for place, size in arrays(part).items()}


@pytest.mark.parametrize(
    "params",
    [{}, {"vector_size": 300, "negative": 40}, {"window": "session"}, {"workers": 3}, {"sg": 0}],
    ids=str,
)
def test_the_estimate_is_what_the_engine_allocates(params: dict) -> None:
    lists = [*cluster_lists(500), list(range(400)) * 50 if "window" not in params else list(range(900))]
    _, corpus = build_corpus(Sessions.from_lists(lists), 1, 0.0)
    params = {**small().get_params(), "forward_only": True, **params}
    settings = opening.window_settings(params, corpus)
    need = opening.training_need(params, corpus, settings, validated=False, saved=False)
    tables = np.zeros((len(corpus.item_markets), params["vector_size"]), np.float32)
    engine = opening.open_engine(params, corpus, settings, tables, tables)
    held = {name: sum(arrays(getattr(engine, name)).values()) for name in ("tables", "plans", "scratch")}
    shared = sum(array.nbytes for array in (corpus.booked_items, corpus.item_markets))
    assert need.tables == held["tables"]
    working = held["plans"] + held["scratch"] - shared * engine.workers
    assert 0.97 * working <= need.threads <= 1.25 * working


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is what Linux tells")
def test_the_estimate_covers_the_steps_of_torch() -> None:
    code = """
from pathlib import Path
import numpy as np
from item2vec.embeddings import Item2Vec, opening
from item2vec.embeddings.corpus import build_corpus
from item2vec.sessions.container import Sessions
def resident(field):
    return 1024 * int(Path("/proc/self/status").read_text().split(field + ":")[1].split()[0])
lists = np.random.default_rng(0).integers(0, 26, (4, 6)).tolist()
sessions = Sessions.from_lists(lists)
common = dict(engine="torch", device="cpu", epochs=1, workers=1)
Item2Vec(**common).fit(sessions, show_progress=False)
model = Item2Vec(**common, negative=2000, vector_size=1000)
_, corpus = build_corpus(sessions, 1, 0.0)
params = model.get_params()
settings = opening.window_settings(params, corpus)
need = opening.training_need(params, corpus, settings, False, False).total
before = resident("VmRSS")
model.fit(sessions, show_progress=False)
print(need, resident("VmHWM") - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    need, peak = map(int, done.stdout.split())
    assert 0.9 * peak - 20 * MB <= need <= 2 * peak


@pytest.mark.parametrize("kept", [False, True])
def test_the_estimate_is_what_the_copies_take(tmp_path: Path, kept: bool) -> None:
    """The peak of what Python allocates: not the tables, in pages of their own, nor safetensors' own copy."""
    sessions = Sessions.from_lists([[k, k + 1] for k in range(10_000)])
    model = small(vector_size=256, epochs=3)
    options = {"validate": lambda _: 1.0, "checkpoint_dir": tmp_path} if kept else {}
    _, corpus = build_corpus(sessions, 1, 0.0)
    params = model.get_params()
    need = opening.training_need(params, corpus, opening.window_settings(params, corpus), kept, kept)
    model.fit(sessions, show_progress=False)  # compiled
    tracemalloc.start()
    model.fit(sessions, show_progress=False, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    expected = need.copies + need.threads + need.order - (need.copies // 3 if kept else 0)
    assert 0.9 * peak <= expected <= 1.1 * peak


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


@pytest.fixture
def linux(tmp_path: Path) -> tuple[Path, Path]:
    write(tmp_path / "proc", meminfo="MemTotal: 9000000 kB\nMemAvailable:    5000000 kB")
    return tmp_path / "proc", tmp_path / "groups"


def test_the_machine_alone(linux: tuple[Path, Path], tmp_path: Path) -> None:
    assert available_memory(*linux) == 5_000_000 * 1024
    assert available_memory(tmp_path, tmp_path) is None


def test_the_narrowest_control_group_counts_and_its_cache_is_free(linux: tuple[Path, Path]) -> None:
    proc, groups = linux
    write(proc / "self", cgroup="0::/outer/inner")
    stat = "anon 100\ninactive_file 300\nactive_file 200\nslab 7"
    write(groups, memory__stat=stat)  # the root has no limit
    write(groups / "outer", memory__max=4 * MB, memory__current=3 * MB, memory__stat=stat)
    write(groups / "outer/inner", memory__max="max", memory__current=MB, memory__stat=stat)
    assert available_memory(*linux) == MB + 500
    write(groups / "outer/inner", memory__max=2 * MB, memory__current=1_500_000, memory__stat="")
    assert available_memory(*linux) == 500_000
    write(groups / "outer/inner", memory__current=3 * MB)
    assert available_memory(*linux) == 0


def test_control_groups_of_the_first_version(linux: tuple[Path, Path]) -> None:
    proc, groups = linux
    write(proc / "self", cgroup="5:devices:/\n4:cpu,memory:/job\n0::/")
    stat = "cache 1\ninactive_file 1\ntotal_cache 900\ntotal_inactive_file 400\ntotal_active_file 500"
    limit = {"memory__limit_in_bytes": 4 * MB, "memory__usage_in_bytes": MB}
    write(groups / "memory" / "job", **limit, memory__stat=stat)
    assert available_memory(*linux) == 3 * MB + 900
    write(groups / "memory", memory__limit_in_bytes=2 * MB, memory__usage_in_bytes=MB)
    assert available_memory(*linux) == MB


def test_this_machine_tells() -> None:
    if memory.available_memory() is not None:
        assert memory.available_memory() > 50 * MB  # type: ignore[operator]
