"""Epochs: learning rate, callbacks, early stopping, checkpoints."""

from __future__ import annotations

import numpy as np
import pytest
from cluster_world import cluster_lists, fit, same, small

from item2vec.embeddings import ItemVectors
from item2vec.embeddings.training import PATIENCE, Schedule
from item2vec.errors import (
    CorruptArtifactError,
    UsageError,
)
from item2vec.sessions.container import Sessions


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    return Sessions.from_lists(cluster_lists())


def test_the_learning_rate_is_linear_in_global_progress(sessions: Sessions) -> None:
    schedule = Schedule(alpha=0.05, min_alpha=0.01, epochs=4)
    assert [schedule.rate(e) for e in (0, 1, 2.5, 4)] == pytest.approx([0.05, 0.04, 0.025, 0.01])
    model = fit(sessions, epochs=4, alpha=0.05, min_alpha=0.01)
    assert [e["learning_rate"] for e in model.history_] == pytest.approx([0.05, 0.04, 0.03, 0.02])


def test_callbacks_see_every_epoch(sessions: Sessions) -> None:
    seen: list[dict] = []
    model = small().fit(sessions, callbacks=[seen.append], show_progress=False)
    assert [info["epoch"] for info in seen] == [1, 2, 3]
    assert seen == model.history_


def test_early_stopping_keeps_the_best_epoch(sessions: Sessions) -> None:
    kept: list[ItemVectors] = []
    scores = iter([0.1, 0.5, 0.4, 0.5, 0.3, 0.9])

    def validate(vectors: ItemVectors) -> float:
        kept.append(vectors)
        return next(scores)

    model = small(epochs=20).fit(sessions, validate=validate, show_progress=False)
    assert len(model.history_) == 2 + PATIENCE
    assert [e["validation"] for e in model.history_] == [0.1, 0.5, 0.4, 0.5, 0.3]
    assert same(model.item_vectors_, kept[1])
    assert not same(kept[1], kept[2])
    with pytest.raises(UsageError, match="NaN"):
        small().fit(sessions, validate=lambda _: float("nan"), show_progress=False)


def interrupt_after(epoch: int):  # type: ignore[no-untyped-def]
    def callback(info: dict) -> None:
        if info["epoch"] == epoch:
            raise KeyboardInterrupt

    return callback


@pytest.mark.parametrize("validated", [False, True])
def test_a_resumed_training_ends_in_the_same_bytes(sessions: Sessions, tmp_path, validated: bool) -> None:  # type: ignore[no-untyped-def]
    def validate(vectors: ItemVectors) -> float:
        return -abs(float(np.abs(vectors.vectors).mean()) - 0.2)

    options = {"validate": validate if validated else None, "show_progress": False}
    whole = small(epochs=5).fit(sessions, **options)
    for last in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            small(epochs=5).fit(
                sessions, checkpoint_dir=tmp_path, callbacks=[interrupt_after(last)], **options
            )
        assert sorted(p.name for p in tmp_path.iterdir()) == [
            "checkpoint.json",
            f"epoch-{last:05d}.safetensors",
        ]
    resumed = small(epochs=5).fit(sessions, checkpoint_dir=tmp_path, **options)
    assert same(resumed.item_vectors_, whole.item_vectors_)
    clocked = ("tokens_per_second",)
    for one, other in zip(resumed.history_, whole.history_, strict=True):
        assert {k: v for k, v in one.items() if k not in clocked} == {
            k: v for k, v in other.items() if k not in clocked
        }
    again = small(epochs=5).fit(sessions, checkpoint_dir=tmp_path, **options)
    assert same(again.item_vectors_, whole.item_vectors_)
    assert again.history_ == resumed.history_


def test_another_trainings_checkpoint_is_refused(sessions: Sessions, tmp_path) -> None:  # type: ignore[no-untyped-def]
    small().fit(sessions, checkpoint_dir=tmp_path, show_progress=False)
    small(workers=2).fit(sessions, checkpoint_dir=tmp_path, show_progress=False)
    with pytest.raises(UsageError, match="another training"):
        small(seed=5).fit(sessions, checkpoint_dir=tmp_path, show_progress=False)
    with pytest.raises(UsageError, match="another training"):
        small().fit(sessions.take(range(100)), checkpoint_dir=tmp_path, show_progress=False)


@pytest.mark.parametrize("validated_first", [False, True])
def test_validated_and_not_are_two_trainings(sessions: Sessions, tmp_path, validated_first: bool) -> None:  # type: ignore[no-untyped-def]
    """Epochs that nobody scored could be neither the best one nor the reason to stop."""
    scored = {"validate": lambda _: 1.0}
    first, second = (scored, {}) if validated_first else ({}, scored)
    options = {"checkpoint_dir": tmp_path, "show_progress": False}
    with pytest.raises(KeyboardInterrupt):
        small().fit(sessions, callbacks=[interrupt_after(1)], **first, **options)
    with pytest.raises(UsageError, match="one with validate and one without"):
        small().fit(sessions, **second, **options)
    assert len(small().fit(sessions, **first, **options).history_) == 3


def test_a_damaged_checkpoint_is_refused(sessions: Sessions, tmp_path) -> None:  # type: ignore[no-untyped-def]
    small().fit(sessions, checkpoint_dir=tmp_path, show_progress=False)
    tables = tmp_path / "epoch-00003.safetensors"
    body = bytearray(tables.read_bytes())
    body[-1] ^= 1
    tables.write_bytes(body)
    with pytest.raises(CorruptArtifactError, match="SHA-256"):
        small().fit(sessions, checkpoint_dir=tmp_path, show_progress=False)
    (tmp_path / "checkpoint.json").write_text("{")
    with pytest.raises(CorruptArtifactError, match="delete the folder"):
        small().fit(sessions, checkpoint_dir=tmp_path, show_progress=False)
