"""Damages one file of a finished run after another; what a reader, a check and the next run make of it.

A script, because what it looks for may end the process: ``python corruption.py JOB.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import item2vec as i2v
from item2vec.artifacts import read_release
from item2vec.artifacts.manifest import MANIFEST, canonical_json, describe_file, digest
from item2vec.cli.show import print_release
from item2vec.config import RunConfig
from item2vec.errors import Item2VecError
from item2vec.run import run_pipeline

PAGE = 4096
Draw = random.Random


def write(path: Path, body: bytes) -> None:
    """Replace a file that other copies of the run share."""
    path.unlink()
    path.write_bytes(body)


def patched(body: bytes, at: int, patch: bytes) -> bytes:
    return body[:at] + patch[: len(body) - at] + body[at + len(patch) :]


def flip(path: Path, run: Path, draw: Draw) -> None:
    body = path.read_bytes()
    at = draw.randrange(len(body))
    write(path, patched(body, at, bytes([body[at] ^ 1 << draw.randrange(8)])))


def cut(path: Path, run: Path, draw: Draw) -> None:
    write(path, path.read_bytes()[: draw.randrange(path.stat().st_size)])


def cut_at_a_node(path: Path, run: Path, draw: Draw) -> None:
    """Cut where a size check of whole nodes (12 bytes and 4 per dimension) sees nothing."""
    sizes = [place for place in (28, 32) if path.stat().st_size % place == 0] or [16]
    size = sizes[0]
    write(path, path.read_bytes()[: draw.randrange(max(path.stat().st_size // size, 1)) * size])


def zero_page(path: Path, run: Path, draw: Draw) -> None:
    body = path.read_bytes()
    write(path, patched(body, draw.randrange(len(body)) // PAGE * PAGE, bytes(PAGE)))


def random_page(path: Path, run: Path, draw: Draw) -> None:
    body = path.read_bytes()
    write(path, patched(body, draw.randrange(len(body)) // PAGE * PAGE, draw.randbytes(PAGE)))


def append(path: Path, run: Path, draw: Draw) -> None:
    write(path, path.read_bytes() + draw.randbytes(draw.choice([1, 16, 4096])))


def empty(path: Path, run: Path, draw: Draw) -> None:
    write(path, b"")


def remove(path: Path, run: Path, draw: Draw) -> None:
    path.unlink()


def link(path: Path, run: Path, draw: Draw) -> None:
    """Put a link to the same bytes in the place of a file: they may change behind the reader's back."""
    copy = run.parent / "elsewhere"
    shutil.copyfile(path, copy)
    path.unlink()
    path.symlink_to(copy)


def folder(path: Path, run: Path, draw: Draw) -> None:
    path.unlink()
    path.mkdir()


def swap(path: Path, run: Path, draw: Draw) -> str:
    other = draw.choice([one for one in sorted(run.rglob("*")) if one.is_file() and one.name != ".lock"])
    body, others = path.read_bytes(), other.read_bytes()
    write(path, others)
    if other != path:
        write(other, body)
    return other.name


def older(path: Path, run: Path, draw: Draw) -> None:
    """Put the file of the same name in, as another version of the same stage wrote it."""
    stage = path.parents[1] if path.name == MANIFEST else run / "objects"
    same = [one for one in sorted(stage.rglob(path.name)) if one.is_file() and one != path]
    same = same or sorted(one for one in (run / "releases").iterdir() if one != path)
    write(path, draw.choice(same).read_bytes())


def forge(path: Path, run: Path, draw: Draw) -> None:
    """Damage a file and make its manifest agree, so that every checksum inside the object is right."""
    stored = next((place for place in path.parents if (place / MANIFEST).is_file()), None)
    flip(path, run, draw)
    if stored is None or path.name == MANIFEST:
        return
    manifest = json.loads((stored / MANIFEST).read_bytes())
    manifest["files"][path.relative_to(stored).as_posix()] = describe_file(path)
    manifest["content"] = digest(canonical_json(manifest["files"]))
    del manifest["sha256"]
    write(stored / MANIFEST, canonical_json({**manifest, "sha256": digest(canonical_json(manifest))}))


DAMAGES: dict[str, Callable[[Path, Path, Draw], str | None]] = {
    found.__name__: found
    for found in (
        *(flip, cut, cut_at_a_node, zero_page, random_page, append, empty, remove, link, folder, swap, older),
        forge,
    )
}


def refusal(act: Callable[[], object]) -> str | None:
    """Return what an error says; None if there is none. An error that is not ours is told as such."""
    try:
        act()
    except Item2VecError as error:
        return str(error)
    except Exception as error:
        return f"FOREIGN {type(error).__name__}: {error}"
    return None


def verify(run: Path) -> None:
    """Do what `item2vec show --verify` does."""
    with open(os.devnull, "w") as nowhere:
        kept, sys.stdout = sys.stdout, nowhere
        try:
            print_release(read_release(run), verify=True, as_json=True)
        finally:
            sys.stdout = kept


def trial(work: Path, base: Path, config: RunConfig, number: int, mend: bool) -> dict[str, Any] | None:
    """Damage one file; return what was refused and what is wrong about that, None if nothing changed."""
    draw = Draw(number)
    run = work / "runs" / "tiny"
    shutil.rmtree(work / "runs", ignore_errors=True)
    shutil.copytree(base, run, copy_function=os.link, ignore=shutil.ignore_patterns(".lock"))
    release = read_release(run)
    objects = [release.object_path(stage) for stage in release.stages]
    files = [path for place in objects for path in sorted(place.rglob("*")) if path.is_file()]
    files += [release.path, run / "CURRENT"] * 4  # few among many
    kind = draw.choice(sorted(DAMAGES))
    path = draw.choice([one for one in files if one.suffix == ".annoy"] if kind == "cut_at_a_node" else files)
    if not path.stat().st_size:
        return None
    before, linked = path.read_bytes(), path.relative_to(run)
    partner = DAMAGES[kind](path, run, draw)
    if path.is_file() and not path.is_symlink() and path.read_bytes() == before:
        return None
    problems = []
    told = refusal(lambda: verify(run))
    names = {path.name, partner or path.name}
    names |= {"releases/", str(run)} if path.name == "CURRENT" else set()
    names |= _place(linked) if kind == "forge" else set()
    if told is None or told.startswith("FOREIGN") or not any(name in told for name in names):
        problems.append(f"verify: {told}")
    answer = refusal(lambda: i2v.load(run))
    read = linked.parts[0] != "objects" or linked.parts[1] in {"embeddings", "index"} or kind == "swap"
    if (answer is None and read and kind != "swap") or (answer or "").startswith("FOREIGN"):
        problems.append(f"load: {answer}")
    if answer is not None and not read:
        problems.append(f"load read what it need not: {answer}")
    if mend:
        problems += _mended(run, base, config)
    return {
        "kind": kind,
        "file": _class_of(linked),
        "path": str(linked),
        "problems": problems,
        "mended": mend,
    }


def _place(linked: Path) -> set[str]:
    """Name the object as well: a forged one is refused as a whole."""
    return {"/".join(linked.parts[:3])} if linked.parts[0] == "objects" else set()


def _class_of(linked: Path) -> str:
    if linked.name in {MANIFEST, "CURRENT"}:
        return linked.name
    return "release" if linked.parts[0] == "releases" else linked.suffix or linked.name


def _mended(run: Path, base: Path, config: RunConfig) -> list[str]:
    """Run the same command again; every object must have its bytes back."""
    try:
        run_pipeline(config, run.parent)
        verify(run)
        i2v.load(run)
    except Exception as error:
        return [f"the next run: {type(error).__name__}: {error}"]
    release = read_release(run)
    for stage in release.stages:
        place = release.object_path(stage)
        for path in (one for one in place.rglob("*") if one.is_file()):
            if path.read_bytes() != (base / path.relative_to(run)).read_bytes():
                return [f"the next run wrote other bytes: {path}"]
    return []


def work_through(job: dict[str, Any]) -> None:
    """Do a share of the trials; every line is there before the next trial may end the process."""
    config = RunConfig.from_toml(job["config"])
    done = 0
    with open(job["results"], "w", buffering=1) as results:
        for number in range(job["share"], 10 * job["trials"], job["of"]):
            mend = done % job["mend_every"] == 0
            found = trial(Path(job["work"]), Path(job["base"]), config, number, mend)
            done += found is not None
            if found is not None:
                results.write(json.dumps({**found, "number": number}) + "\n")
            if done == job["trials"] // job["of"]:
                break


def sealed(body: dict[str, Any]) -> bytes:
    """Write a document with the checksum of itself."""
    bare = {key: value for key, value in body.items() if key != "sha256"}
    return canonical_json({**bare, "sha256": digest(canonical_json(bare))})


def forge_index(run: Path, change: dict[str, Any]) -> str:
    """Change what an index says about itself, make every checksum up to CURRENT agree, and load it."""
    release = read_release(run)
    stored = release.object_path("index")
    path = stored / "similar" / "index.json"
    body = json.loads(path.read_text())
    del body["digest"]
    body |= change
    body["digest"] = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    write(path, (json.dumps(body, indent=1, sort_keys=True) + "\n").encode())
    manifest = json.loads((stored / MANIFEST).read_bytes())
    manifest["files"]["similar/index.json"] = describe_file(path)
    manifest["content"] = digest(canonical_json(manifest["files"]))
    write(stored / MANIFEST, sealed(manifest))
    document = json.loads(release.path.read_bytes())
    named = document["stages"]["index"]
    named |= {
        "content": manifest["content"],
        "manifest": json.loads((stored / MANIFEST).read_bytes())["sha256"],
    }
    forged = sealed(document)
    name = digest(canonical_json({key: document[key] for key in document if key != "sha256"}))[:32]
    (run / "releases" / f"{name}.json").write_bytes(forged)
    (run / "CURRENT").write_text(f"{name}\n")
    verify(run)  # right as far as checksums go
    told = refusal(lambda: i2v.load(run))
    assert told is not None, "the forged index was loaded"
    assert not told.startswith("FOREIGN"), told
    return told


if __name__ == "__main__" and sys.argv[1] == "forge":
    sys.stdout.write(forge_index(Path(sys.argv[2]), json.loads(sys.argv[3])))
elif __name__ == "__main__":
    work_through(json.loads(Path(sys.argv[1]).read_text()))
