"""Run the notebooks and write each with its outputs beside its cells: `make notebooks`.

    python notebooks/execute.py              all of them
    python notebooks/execute.py 1 3          those whose names begin so

The `.py` files are what people edit; the `.ipynb` files are for reading without running. What was run on
another log than the marketplace, or in its small form, goes to `runs/notebooks`: no row of a real log is ever
committed.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def notebooks() -> list[Path]:
    """List the notebooks' sources, in their order."""
    return sorted(FOLDER.glob("[0-9]_*.py"))


def target_of(source: Path) -> Path:
    """Say where a notebook with outputs goes: beside its source only as everybody may read it."""
    other_log = os.environ.get("ITEM2VEC_NOTEBOOK_DATA", "").strip() not in ("", "marketplace")
    if other_log or os.environ.get("ITEM2VEC_NOTEBOOK") == "small":
        return FOLDER.parent / "runs" / "notebooks" / source.with_suffix(".ipynb").name
    return source.with_suffix(".ipynb")


def execute(source: Path, timeout_s: int = 900) -> Any:
    """Run one notebook in a fresh kernel and return it with its outputs; the first error is raised."""
    notebook = jupytext.read(source)
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # the same every time, so that a new run changes only what is new
    client = NotebookClient(
        notebook,
        timeout=timeout_s,
        kernel_name=KERNEL["name"],
        record_timing=False,
        resources={"metadata": {"path": str(FOLDER)}},
    )
    client.execute()
    notebook.metadata.pop("language_info", None)  # it names the Python that ran, which is no news
    return notebook


def main(beginnings: list[str]) -> None:
    """Run those notebooks and write the files."""
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    for source in notebooks():
        if beginnings and not source.name.startswith(tuple(beginnings)):
            continue
        began = time.monotonic()
        notebook = execute(source)
        target = target_of(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target)
        print(f"{target.name:<32} {time.monotonic() - began:6.1f} s  {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
