"""Train windows as CBOW: the mean of a window's input rows against its centre and its noise.

Every input row moves by the whole gradient of the mean, as in word2vec.c and gensim, not by the 1/m of it
that the objective's own gradient has for each of m inputs. So the mean moves as far as one input of skip-gram
does, however many clicks it has, and one learning rate suits both models.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numba import njit

from item2vec.embeddings import prefetching, simd, vector_ir, windows
from item2vec.embeddings.simd import Tables, add_scaled_row
from item2vec.embeddings.windows import (
    AHEAD,
    add_losses,
    gather_targets,
    pad_inputs,
    prefetch_window,
    reset_signs,
    step_pairs,
)


@njit(inline="always")
def _take_mean(stride, tables, scratch, plan, i):  # type: ignore[no-untyped-def]
    """Write the mean of the window's input rows behind the changes; return how many there are.

    Their offsets go behind the mean's own, which is the first input and the only one that steps.
    """
    m, mean = 1, len(scratch.deltas) - stride
    for k in range(mean, mean + stride):
        scratch.deltas[k] = np.float32(0)
    for j in range(plan.contexts[i, 0], plan.contexts[i, 1]):
        if j != i:
            m += 1
            scratch.inputs[m] = np.int64(plan.items[j]) * stride
    share = np.float32(1) / np.float32(max(m - 1, 1))
    for v in range(2, m + 1):
        add_scaled_row(stride, share, tables.inputs, scratch.inputs[v], scratch.deltas, mean)
    scratch.inputs[0] = mean
    scratch.sign_rows[0] = 0
    return m - 1


@njit(inline="always")
def _step_mean(stride, tables, scratch, m, rate):  # type: ignore[no-untyped-def]
    """One step from the tables as they are now; every input row gets the whole of the mean's change."""
    step_pairs(stride, Tables(scratch.deltas, tables.outputs), scratch, pad_inputs(scratch, 1), rate)
    for v in range(2, m + 2):
        add_scaled_row(stride, np.float32(1), scratch.deltas, 0, tables.inputs, scratch.inputs[v])


@njit(inline="always")
def _train_in_order(stride, tables, plan, scratch, n, negative, rates, results):  # type: ignore[no-untyped-def]
    fall = (rates[1] - rates[0]) / n
    reset_signs(scratch, plan, negative)
    for i in range(n):
        prefetch_window(stride, tables, plan, i + AHEAD, n)
        m = _take_mean(stride, tables, scratch, plan, i)
        if m:
            absent = gather_targets(stride, scratch, plan, i, np.int64(plan.items[i]))
            _step_mean(stride, tables, scratch, m, np.float32(rates[0] + fall * i))
            if absent:
                reset_signs(scratch, plan, negative)
            results[4] += 1
    add_losses(scratch, plan, negative, results)


def _make_train_means(version: str):  # type: ignore[no-untyped-def]
    """Define the kernel over a digest of what it inlines: numba's cache sees this file and closures only."""

    @njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
    def train_means(stride, tables, plan, scratch, n, negative, rates, results):  # type: ignore[no-untyped-def]
        """Train the first `n` windows of a plan, the learning rate going from rates[0] to rates[1].

        Takes what :func:`~item2vec.embeddings.windows.train_windows` takes. A window is one example:
        `results` counts it once, with −log σ of its mean and its centre and of its mean and its noise.
        """
        if version:
            _train_in_order(stride, tables, plan, scratch, n, negative, rates, results)

    return train_means


_SOURCES = [Path(str(module.__file__)).read_bytes() for module in (prefetching, simd, vector_ir, windows)]
train_means = _make_train_means(hashlib.sha256(b"".join(_SOURCES)).hexdigest())
