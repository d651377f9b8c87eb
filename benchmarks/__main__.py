"""`make bench`: every speed figure beside the peer or bound it is measured against; the table of quality."""

from __future__ import annotations

import argparse
from importlib import import_module

from benchmarks import machine

SUITES = (
    "ingest",
    "growth",
    "spark",
    "training",
    "lookup",
    "serving",
    "ranking",
    "evaluation",
    "quality",
    "distributed",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = ", ".join(SUITES)
    parser.add_argument("suites", nargs="*", metavar="suite", help=f"any of {known} (default: all)")
    chosen = parser.parse_args().suites or SUITES
    unknown = sorted(set(chosen) - set(SUITES))
    if unknown:
        parser.error(f"unknown suite {', '.join(unknown)}; there are {known}")
    print(machine.describe())
    for name in chosen:
        print(f"\n## {name}\n")
        import_module(f"benchmarks.{name}").main([])


if __name__ == "__main__":
    main()
