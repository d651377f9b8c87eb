"""From hyper-parameters and a corpus to an engine that is ready to train, or a refusal before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from item2vec.embeddings.alias import build_noise
from item2vec.embeddings.corpus import expected_clicks, noise_weights, trainable_sessions
from item2vec.embeddings.draws import Corpus, WindowSettings
from item2vec.embeddings.hyperparameters import ENGINES
from item2vec.embeddings.memory import MemoryNeed
from item2vec.embeddings.numba_engine import INPUTS_PER_NOISE, WINDOWS_AT_ONCE, cores
from item2vec.embeddings.simd import TARGETS
from item2vec.embeddings.tables import row_stride
from item2vec.embeddings.totals import Total, alone
from item2vec.embeddings.vector_ir import LANES
from item2vec.embeddings.widths import check_width, inputs_per_window
from item2vec.errors import UsageError

if TYPE_CHECKING:
    from item2vec.embeddings.training import Engine

WIDEST = 2**31 - 1  # not the longest session: the size of a shrinking window is drawn from all of 1..window
BYTES_PER_STEP = 32  # of a plan, beside its clicks and its noise
MAX_PASSES = 1_000_000


def window_settings(params: Mapping[str, Any], corpus: Corpus) -> WindowSettings:
    """Return how windows are shaped, the window as wide as the longest session needs at most.

    Raises
    ------
    UsageError
        If there is no market to draw market noise from, or windows are so wide that nobody would wait.
    """
    if params["market_negative"] and corpus.item_markets.max() < 0:
        raise UsageError(
            f"market_negative is {params['market_negative']} but no item has a market; give the items a"
            " market or set market_negative=0"
        )
    if corpus.weights.max() > MAX_PASSES:
        raise UsageError(
            f"the largest session weight is {corpus.weights.max():.3g}: so often is that session trained in"
            f" one epoch (at most {MAX_PASSES:,}); scale the weights down to a mean of about 1"
        )
    longest = int(np.diff(corpus.offsets)[trainable_sessions(corpus)].max())
    whole = params["window"] == "session"
    settings = WindowSettings(
        window=longest if whole else min(int(params["window"]), WIDEST),
        shrink=params["shrink_windows"] and not whole,
        forward_only=params["forward_only"],
        negative=params["negative"],
        market_negative=params["market_negative"],
        cbow=params["sg"] == 0,
    )
    check_width(settings, corpus, params["window"], params["epochs"])
    return settings


def open_engine(
    params: Mapping[str, Any],
    corpus: Corpus,
    settings: WindowSettings,
    inputs: npt.NDArray[np.float32],
    outputs: npt.NDArray[np.float32],
    total: Total = alone,
) -> Engine:
    """Return the engine that `params` name, with tables that start at these rows.

    Parameters
    ----------
    params : mapping
        All hyper-parameters.
    corpus : Corpus
    settings : WindowSettings
    inputs, outputs : ndarray of float32, shape (n_items, vector_size)
    total : Total
        Makes a worker's counts those of all workers.
    """
    noise = build_noise(noise_weights(corpus, params["ns_exponent"], total), corpus.item_markets)
    module, name = ENGINES[params["engine"]].split(":")
    door = getattr(import_module(module), name)
    options = {key: params[key] for key in ("workers", "seed")}
    if params["engine"] == "torch":
        options["device"] = params["device"]
    engine: Engine = door(corpus, noise, settings, inputs, outputs, **options)
    return engine


def training_need(
    params: Mapping[str, Any], corpus: Corpus, settings: WindowSettings, validated: bool, saved: bool
) -> MemoryNeed:
    """Estimate what training takes.

    Parameters
    ----------
    params : mapping
        All hyper-parameters.
    corpus : Corpus
    settings : WindowSettings
    validated, saved : bool
        Whether epochs are scored, and whether they are written as checkpoints.
    """
    n_items, size = len(corpus.item_markets), params["vector_size"]
    workers = params["workers"] or cores()
    lengths = np.diff(corpus.offsets)
    longest = int(lengths.max())
    row = 4 * row_stride(size)
    n_inputs = inputs_per_window(settings, longest)
    if not settings.cbow:
        n_inputs = min(n_inputs, INPUTS_PER_NOISE)
    n_noise = settings.negative + settings.market_negative
    torch_step = _torch_step_bytes(params, corpus, settings) if params["engine"] == "torch" else 0
    blocks = -(-(1 + n_noise) // TARGETS)
    clicks = max(WINDOWS_AT_ONCE, longest)
    steps = clicks if settings.cbow else WINDOWS_AT_ONCE
    plan = 4 * clicks + steps * (BYTES_PER_STEP + 4 * n_noise)
    scratch = (n_inputs + 4) * (16 + row + 4 * blocks * LANES) + blocks * (8 * TARGETS + 20 * LANES)
    kept = 2 if validated else 1
    copies = max(
        1 + kept, 3 * kept if saved else 0
    )  # a checkpoint's body is made twice, in Rust and in Python
    return MemoryNeed(
        what=f"{n_items:,} items × {size} numbers",
        tables=2 * n_items * row,
        copies=copies * 2 * 4 * n_items * size,
        threads=2 * plan + torch_step if params["engine"] == "torch" else workers * (plan + scratch),
        order=6 * 8 * len(lengths),
    )


def _torch_step_bytes(params: Mapping[str, Any], corpus: Corpus, settings: WindowSettings) -> int:
    """Estimate what a step's matrices take of this machine's memory; a device of its own has its own."""
    from item2vec.embeddings.torch_batches import step_bytes, widest_reach, windows_at_once
    from item2vec.embeddings.torch_engine import open_device, windows_of_a_step

    device = open_device(params["device"])
    if device.type != "cpu":
        return 0
    sessions = trainable_sessions(corpus)
    lengths = np.diff(corpus.offsets)[sessions]
    side = min(settings.window, int(lengths.max()) - 1)
    reach = widest_reach(side, 0 if settings.forward_only else side, INPUTS_PER_NOISE + 1)
    shape = reach, 1 + settings.negative + settings.market_negative, params["vector_size"]
    size = windows_of_a_step(float(expected_clicks(corpus, sessions).sum()), device)
    return step_bytes(windows_at_once(size, *shape), *shape)
