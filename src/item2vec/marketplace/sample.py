"""The small committed sample of the simulated marketplace: a log one can open in an editor."""

from __future__ import annotations

import gzip
import tempfile
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from item2vec.marketplace.config import MarketplaceConfig
from item2vec.marketplace.simulation import simulate

SAMPLE = MarketplaceConfig(
    seed=7, n_users=30, n_listings=60, n_markets=3, days=28, bot_share=0.04, new_listing_share=0.1
)


def write_sample(out_dir: Path) -> None:
    """Write the sample as text: ``events.csv.gz``, ``items.csv`` and ``users.csv``.

    Parameters
    ----------
    out_dir : Path
        An existing folder, ``data/sample`` in the project.
    """
    with tempfile.TemporaryDirectory() as scratch:
        world = simulate(Path(scratch) / "world", SAMPLE)
        events = pq.ParquetFile(world / "events" / "part-00000.parquet").read()
        (out_dir / "events.csv.gz").write_bytes(gzip.compress(_csv(events), mtime=0))
        for name in ("items", "users"):
            table = pq.ParquetFile(world / f"{name}.parquet").read()
            (out_dir / f"{name}.csv").write_bytes(_csv(table))


def _csv(table: pa.Table) -> bytes:
    """Return a table as CSV; a missing value is an empty field."""
    buffer = BytesIO()
    pa_csv.write_csv(table, buffer, pa_csv.WriteOptions(quoting_style="needed"))
    return buffer.getvalue()
