"""Run the marketplace: users in blocks, so that memory does not grow with their number."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from item2vec.errors import ConfigError, RunError, UsageError, of_the_system
from item2vec.marketplace.config import MarketplaceConfig
from item2vec.marketplace.files import LogWriter
from item2vec.marketplace.geography import Markets
from item2vec.marketplace.listings import Listings, make_listings
from item2vec.marketplace.outcomes import all_events
from item2vec.marketplace.searches import search_and_click
from item2vec.marketplace.travellers import make_users, plan_trips

USERS_PER_BLOCK = 2048  # not a setting: each block draws from its own stream, so the size shapes the result
WORLD_STREAM, BLOCK_STREAM = 0, 1


def simulate(
    out_dir: str | os.PathLike[str],
    config: MarketplaceConfig | None = None,
    *,
    show_progress: bool = False,
    **settings: Any,
) -> Path:
    """Simulate a marketplace and write its log, its catalogue and its hidden truth.

    Parameters
    ----------
    out_dir : path
        A folder that does not exist yet or is empty. It appears only when everything is written.
    config : MarketplaceConfig, optional
        All settings at once; or give them as keywords (`settings`), not both.
    show_progress : bool
        Show a bar of simulated users.

    Returns
    -------
    Path
        `out_dir`, holding ``events/part-*.parquet`` (one part per block of users; columns as
        :func:`item2vec.read_events` expects them, times in microseconds UTC), ``items.parquet``,
        ``users.parquet``, ``config.json`` and ``truth/`` (``styles.parquet``: item_id, style, quality;
        ``tastes.parquet``: user_id, style, listing_type, price_band, is_bot), which no stage reads.

    Raises
    ------
    ConfigError
        If a setting is unknown or out of range.
    UsageError
        If `out_dir` holds something already.
    RunError
        If it cannot be written.
    """
    if config is not None and settings:
        raise ConfigError(f"give either config or keywords, not both (keywords: {', '.join(settings)})")
    config = config or MarketplaceConfig.from_keywords(**settings)
    out = Path(out_dir)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not an empty folder; remove it or choose another one")
    unfinished: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        _write_world(unfinished, config, show_progress)
        unfinished.chmod(0o755)
        unfinished.replace(out)
    except OSError as error:  # which names a folder that is gone by now
        if not of_the_system(error):
            raise
        raise RunError(
            f"cannot write {out}: {error.strerror or error}; choose another place, or check its permissions"
            " and free space"
        ) from error
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
    return out


def _write_world(folder: Path, config: MarketplaceConfig, show_progress: bool) -> None:
    """Draw the catalogue once, then block after block of users."""
    markets, listings = make_listings(config, _stream(config.seed, WORLD_STREAM, 0))
    bar = tqdm(total=config.n_users, desc="simulate", unit=" users", disable=not show_progress)
    with bar, LogWriter(folder, config, markets.names, listings) as writer:
        for block, first in enumerate(range(0, config.n_users, USERS_PER_BLOCK)):
            n = min(USERS_PER_BLOCK, config.n_users - first)
            _write_block(writer, markets, listings, first, n, _stream(config.seed, BLOCK_STREAM, block))
            bar.update(n)


def _write_block(
    writer: LogWriter, markets: Markets, listings: Listings, first: int, n: int, rng: np.random.Generator
) -> None:
    """Let one block of users live through the whole span."""
    users, attributes, tastes = make_users(writer.config, markets, first, n, rng)
    writer.write_users(attributes, tastes)
    trips = plan_trips(writer.config, users, listings, rng)
    searches = search_and_click(writer.config, trips, listings, rng)
    writer.write_events(all_events(searches, trips, listings, rng), len(searches), users, trips)


def _stream(seed: int, kind: int, number: int) -> np.random.Generator:
    """Return a random stream that depends on nothing but its address."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, kind, number])))
