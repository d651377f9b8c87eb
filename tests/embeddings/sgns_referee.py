"""An independent numpy implementation of the objective: slow, in float64, pair by pair like the formulas."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

TERMS = ("window", "negative", "booked", "market_negative")


@dataclass
class Window:
    """One centre with its draws, items named by their numbers."""

    centre: int
    contexts: list[int]
    noise: list[int] = field(default_factory=list)
    market: int = -1
    market_noise: list[int] = field(default_factory=list)
    booked: list[int] = field(default_factory=list)


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + np.exp(-x))


def pairs(window: Window, item_markets: np.ndarray) -> list[tuple[str, int, int, int, float]]:
    """Every (term, input a, output b, sign, weight) of one window; −1 stands for a draw that was dropped."""
    result = []
    for a in window.contexts:
        result.append(("window", a, window.centre, +1, 1.0))
        result += [("negative", a, n, -1, 1.0) for n in window.noise if n >= 0]
        if window.market >= 0 and item_markets[a] == window.market:
            result += [("market_negative", a, n, -1, 1.0) for n in window.market_noise if n >= 0]
    share = 1.0 / max(len(window.booked), 1)
    result += [("booked", window.centre, b, +1, share) for b in window.booked if b != window.centre]
    return result


def step(
    inputs: np.ndarray, outputs: np.ndarray, window: Window, item_markets: np.ndarray, rate: float
) -> dict:
    """Climb the gradient of one window in place; return −log σ per term, from the tables before the step."""
    v, u = inputs.copy(), outputs.copy()
    losses = dict.fromkeys(TERMS, 0.0)
    for term, a, b, sign, weight in pairs(window, item_markets):
        score = sign * float(v[a] @ u[b])
        losses[term] += -weight * np.log(sigmoid(score))
        g = rate * weight * sign * (1.0 - sigmoid(score))
        inputs[a] += g * u[b]
        outputs[b] += g * v[a]
    return losses


def step_rejected(inputs: np.ndarray, outputs: np.ndarray, a: int, b: int, rate: float) -> float:
    """Climb the gradient of one rejected pair in place, both directions (eq. 8-9); return −log σ."""
    v, u = inputs.copy(), outputs.copy()
    loss = 0.0
    for x, y in ((a, b), (b, a)):
        score = float(v[x] @ u[y])
        loss += -np.log(sigmoid(-score))
        inputs[x] -= rate * sigmoid(score) * u[y]
        outputs[y] -= rate * sigmoid(score) * v[x]
    return loss


def contexts_of(session: list[int], i: int, reach: int, forward_only: bool) -> list[int]:
    """The context positions of position i, by definition."""
    return [j for j in range(len(session)) if j != i and abs(j - i) <= reach and (j < i or not forward_only)]
