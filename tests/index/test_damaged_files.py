"""Damaged index files are refused with their name and never reach Annoy, which would kill the process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from index_referee import make_vectors

from item2vec.errors import CorruptArtifactError
from item2vec.index import ItemIndex
from item2vec.index.annoy_file import check_annoy_file
from item2vec.index.space import Space

FILES = ("trees.annoy", "vectors.npy", "id_rank.npy", "index.json")
OWN_FILE = {"annoy": "trees.annoy", "hnsw": "graph.faiss"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "index"
    ItemIndex.build(make_vectors(800), n_trees=8).save(folder)
    return folder


@pytest.fixture(scope="module")
def saved_graph(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "graph"
    ItemIndex.build(make_vectors(800), backend="hnsw", n_links=8).save(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "index")


def flip(path, rng, bits=1):
    data = bytearray(path.read_bytes())
    for _ in range(bits):
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


DAMAGE = {
    "one bit": lambda path, rng: flip(path, rng),
    "64 bits": lambda path, rng: flip(path, rng, 64),
    "cut": lambda path, rng: path.write_bytes(path.read_bytes()[: rng.integers(path.stat().st_size)]),
    "zeroed page": lambda path, rng: path.write_bytes(zeroed(path.read_bytes(), rng)),
    "random": lambda path, rng: path.write_bytes(rng.bytes(path.stat().st_size)),
    "empty": lambda path, rng: path.write_bytes(b""),
    "longer": lambda path, rng: path.write_bytes(path.read_bytes() * 2),
    "missing": lambda path, rng: path.unlink(),
    "folder": lambda path, rng: (path.unlink(), path.mkdir()),
}


def zeroed(data, rng):
    at = int(rng.integers(len(data)))
    return data[:at] + b"\0" * len(data[at : at + 512]) + data[at + 512 :]


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_damage_of_a_graph_is_refused_by_file_name(saved_graph, tmp_path, damage):
    for seed in range(6):
        folder = shutil.copytree(saved_graph, tmp_path / str(seed))
        DAMAGE[damage](folder / "graph.faiss", np.random.default_rng(seed))
        with pytest.raises(CorruptArtifactError, match=r"graph\.faiss"):
            ItemIndex.load(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGE)
def test_every_damage_is_refused_by_file_name(folder, name, damage):
    for seed in range(3):
        good = (folder / name).read_bytes()
        DAMAGE[damage](folder / name, np.random.default_rng(seed))
        if (folder / name).is_file() and (folder / name).read_bytes() == good:
            continue
        expected = "SourceError" if (name, damage) == ("index.json", "missing") else "CorruptArtifactError"
        with pytest.raises(Exception, match=name.replace(".", r"\.")) as caught:
            ItemIndex.load(folder)
        assert caught.type.__name__ == expected
        if (folder / name).is_dir():
            (folder / name).rmdir()
        (folder / name).write_bytes(good)
    ItemIndex.load(folder)


def test_files_of_another_index_are_refused(folder, tmp_path):
    other = tmp_path / "other"
    ItemIndex.build(make_vectors(800, seed=1), n_trees=8).save(other)
    for name in FILES[:3]:
        good = (folder / name).read_bytes()
        shutil.copy(other / name, folder / name)
        with pytest.raises(CorruptArtifactError, match=name):
            ItemIndex.load(folder)
        (folder / name).write_bytes(good)


def test_a_newer_format_is_named(folder):
    from item2vec.index import storage

    body = json.loads((folder / "index.json").read_text())
    del body["digest"]
    body["version"] = 99
    (folder / "index.json").write_text(json.dumps({**body, "digest": storage._digest(body)}))
    with pytest.raises(CorruptArtifactError, match="version 99"):
        ItemIndex.load(folder)


def test_the_order_of_ids_must_be_an_order(folder):
    from item2vec.index import storage

    array = np.load(folder / "id_rank.npy")
    array[0] = array[1]
    np.save(folder / "id_rank.npy", array)
    body = json.loads((folder / "index.json").read_text())
    del body["digest"]
    (folder / "index.json").write_text(json.dumps({**body, "digest": storage._digest(body)}))
    with pytest.raises(CorruptArtifactError, match="no order"):
        ItemIndex.load(folder, verify=False)


def test_structure_alone_stops_what_would_crash_annoy(saved):
    """Without checksums: each change of a link, a count or an item vector is found by the structure check."""
    table = np.load(saved / "vectors.npy")
    points = Space.from_table("similar", table).points
    good = np.fromfile(saved / "trees.annoy", np.int32).reshape(-1, 3 + points.shape[1])
    path = saved.parent / "changed.annoy"
    n_items, n_trees, capacity = len(points), 8, good.shape[1] - 1
    rng = np.random.default_rng(0)
    check_annoy_file(saved / "trees.annoy", points, n_trees)
    refused = 0
    for _ in range(300):
        nodes = good.copy()
        row = int(rng.integers(n_items, len(nodes)))
        is_leaf = nodes[row, 0] <= capacity
        width = 1 + int(nodes[row, 0]) if is_leaf else 3
        column = int(rng.integers(width))
        nodes.view(np.uint32)[row, column] ^= np.uint32(1) << np.uint32(rng.integers(32))
        nodes.tofile(path)
        with pytest.raises(CorruptArtifactError, match=r"changed\.annoy"):
            check_annoy_file(path, points, n_trees)
        refused += 1
    assert refused == 300
    for nodes in (good[:-1], good[1:], good[: n_items + 3], np.vstack([good, good[-1:]]), good[::-1]):
        np.ascontiguousarray(nodes).tofile(path)
        with pytest.raises(CorruptArtifactError):
            check_annoy_file(path, points, n_trees)
    for wrong_points, wrong_trees in (
        (points[:-1], 8),
        (points[:, :-1], 8),
        (points, 7),
        (points, 9),
        (-points, 8),
    ):
        with pytest.raises(CorruptArtifactError):
            check_annoy_file(saved / "trees.annoy", wrong_points, wrong_trees)


@pytest.mark.parametrize("backend", OWN_FILE)
def test_no_damage_kills_the_process(saved, saved_graph, tmp_path, backend):
    """In a process of its own, checksums off: damage is refused, or what is loaded still answers."""
    source = {"annoy": saved, "hnsw": saved_graph}[backend]
    code = textwrap.dedent(f"""
        import shutil, numpy as np
        from pathlib import Path
        from item2vec.errors import CorruptArtifactError
        from item2vec.index import ItemIndex
        rng = np.random.default_rng(7)
        source, refused, answered = Path({str(source)!r}), 0, 0
        good = (source / "{OWN_FILE[backend]}").read_bytes()
        for round in range(120):
            folder = shutil.copytree(source, Path({str(tmp_path)!r}) / str(round))
            data = bytearray(good)
            for _ in range(1 if round % 2 else 40):
                data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
            (folder / "{OWN_FILE[backend]}").write_bytes(data)
            try:
                index = ItemIndex.load(folder, verify=False)
            except CorruptArtifactError:
                refused += 1
            else:
                nums, scores = index.query(np.asarray(index._searcher.space.table[:20]), 10)
                assert (nums >= 0).all() and np.isfinite(scores).all()
                answered += 1
        print(refused, answered)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    refused, answered = map(int, done.stdout.split())
    assert refused + answered == 120
    assert refused >= 60
