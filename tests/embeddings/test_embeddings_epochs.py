"""Epochs: learning rate, callbacks, early stopping, checkpoints."""

from __future__ import annotations

import json
import math
import signal
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cluster_world import cluster_lists, cluster_share, fit, same, small

from item2vec.embeddings import ItemVectors, StopTraining
from item2vec.embeddings.checkpoint import TrainingState, read_checkpoint, write_checkpoint
from item2vec.embeddings.training import PATIENCE, Schedule, Training
from item2vec.errors import (
    CorruptArtifactError,
    TrainingError,
    UsageError,
)
from item2vec.sessions.container import Sessions
from item2vec.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    return Sessions.from_lists(cluster_lists())


def test_the_learning_rate_is_linear_in_global_progress(sessions: Sessions) -> None:
    schedule = Schedule(alpha=0.05, min_alpha=0.01, epochs=4)
    assert [schedule.rate(e) for e in (0, 1, 2.5, 4)] == pytest.approx([0.05, 0.04, 0.025, 0.01])
    model = fit(sessions, epochs=4, alpha=0.05, min_alpha=0.01)
    assert [e["learning_rate"] for e in model.history_] == pytest.approx([0.05, 0.04, 0.03, 0.02])


def test_the_learning_rate_is_constant_where_both_ends_are_equal(sessions: Sessions) -> None:
    model = fit(sessions, epochs=4, alpha=0.05, min_alpha=0.05)
    assert [e["learning_rate"] for e in model.history_] == [0.05] * 4
    falling = fit(sessions, epochs=4, alpha=0.05, min_alpha=0.049)
    assert falling.history_[0]["loss"] == pytest.approx(model.history_[0]["loss"], rel=1e-3)
    assert cluster_share(fit(sessions, epochs=10, alpha=0.03, min_alpha=0.03).item_vectors_) > 0.9


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


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("every", "last", "left"), [(2, 3, 2), (2, 4, 4), (3, 5, 3), (1, 5, 5), (10, 6, 6)], ids=str
)
def test_a_checkpoint_is_left_every_n_epochs_and_at_the_end(
    sessions: Sessions, tmp_path: Path, every: int, last: int, left: int
) -> None:
    """Whatever is interrupted after `last` of six epochs goes on from epoch `left` to the same bytes."""
    options = {"checkpoint_dir": tmp_path, "checkpoint_every": every, "show_progress": False}
    with pytest.raises(KeyboardInterrupt):
        small(epochs=6).fit(sessions, callbacks=[interrupt_after(last)], **options)
    assert written(tmp_path) == ["checkpoint.json", f"epoch-{left:05d}.safetensors"]
    seen: list[dict] = []
    resumed = small(epochs=6).fit(sessions, callbacks=[seen.append], **options)
    assert [info["epoch"] for info in seen] == list(range(left + 1, 7))
    assert written(tmp_path) == ["checkpoint.json", "epoch-00006.safetensors"]
    assert same(resumed.item_vectors_, fit(sessions, epochs=6).item_vectors_)


def test_a_folder_without_room_keeps_the_checkpoint_before(sessions: Sessions, tmp_path: Path) -> None:
    def in_the_way(info: dict) -> None:
        if info["epoch"] == 1:
            (tmp_path / "checkpoint.json.tmp").mkdir()

    model = small()
    with pytest.raises(TrainingError, match=r"checkpoint of epoch 2 cannot be written.*free the disk"):
        model.fit(sessions, checkpoint_dir=tmp_path, callbacks=[in_the_way], show_progress=False)
    assert len(model.history_) == 2  # learned all the same
    (tmp_path / "checkpoint.json.tmp").rmdir()
    resumed = small().fit(sessions, checkpoint_dir=tmp_path, show_progress=False)
    assert same(resumed.item_vectors_, fit(sessions).item_vectors_)


@pytest.mark.parametrize("every", [1, 3])
def test_a_callback_may_end_training(sessions: Sessions, tmp_path: Path, every: int) -> None:
    def enough(info: dict) -> None:
        if info["epoch"] == 2:
            raise StopTraining

    seen: list[dict] = []
    options = {"checkpoint_dir": tmp_path, "checkpoint_every": every, "show_progress": False}
    stopped = small(epochs=6).fit(sessions, callbacks=[seen.append, enough], **options)
    assert [info["epoch"] for info in seen] == [1, 2]
    assert len(stopped.history_) == 2
    assert written(tmp_path) == ["checkpoint.json", "epoch-00002.safetensors"]
    gone_on = small(epochs=6).fit(sessions, **options)
    assert same(gone_on.item_vectors_, fit(sessions, epochs=6).item_vectors_)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_was_learned_outlives_an_error_in_a_callback(
    sessions: Sessions, error: type[BaseException]
) -> None:
    def fail(info: dict) -> None:
        if info["epoch"] == 2:
            raise error

    kept: list[ItemVectors] = []
    model = small(epochs=5, workers=2)
    with pytest.raises(error):
        model.fit(sessions, callbacks=[fail], show_progress=False)
    assert [entry["epoch"] for entry in model.history_] == [1, 2]
    assert np.isfinite(model.item_vectors_.vectors).all()
    scores = count(5, -1)  # the first epoch is the best one
    scored = small(epochs=5)
    with pytest.raises(error):
        scored.fit(
            sessions,
            validate=lambda vectors: (kept.append(vectors), next(scores))[1],
            callbacks=[fail],
            show_progress=False,
        )
    assert same(scored.item_vectors_, kept[0])
    untrained = small()
    with pytest.raises(error):
        untrained.fit(sessions, validate=lambda _: fail({"epoch": 2}), show_progress=False)
    assert len(untrained.history_) == 1


@pytest.fixture
def heard_interrupts() -> Iterator[None]:
    """Ctrl-C is heard, though a shell that starts its jobs in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard_interrupts")
def test_ctrl_c_within_an_epoch_ends_the_threads(tmp_path: Path) -> None:
    import _thread

    options = {"checkpoint_dir": tmp_path, "show_progress": False}
    lists = cluster_lists(100_000)
    model = small(epochs=50, workers=2, window="session")
    others = set(threading.enumerate())

    def press_soon(info: dict) -> None:
        if info["epoch"] == 2:
            threading.Timer(0.05, _thread.interrupt_main).start()

    with pytest.raises(KeyboardInterrupt):
        model.fit(Sessions.from_lists(lists), callbacks=[press_soon], **options)
    for thread in set(threading.enumerate()) - others:
        if thread.name.startswith("item2vec"):  # one that is done may still be on its way out
            thread.join(timeout=10)
            assert not thread.is_alive(), thread.name
    done = len(model.history_)
    assert 2 <= done < 50
    saved = json.loads((tmp_path / "checkpoint.json").read_text())["epochs_done"]
    assert saved in (done - 1, done)  # Ctrl-C may fall between the end of an epoch and its checkpoint


def test_divergence_keeps_the_last_good_epoch_and_its_checkpoint(tmp_path: Path) -> None:
    """The gentlest alpha at which two items that meet ten to a window explode lets some epochs be."""
    sessions = Sessions.from_lists([[1, 2] * 5])
    for alpha in 0.1 * 1.1 ** np.arange(40):
        model = small(epochs=100, alpha=alpha)
        try:
            model.fit(sessions, show_progress=False)
        except TrainingError as error:
            message = str(error)
            break
    done = len(model.history_)
    assert 1 <= done < 100
    assert f"diverged in epoch {done + 1}: " in message
    assert message.endswith(f"the last good vectors, of epoch {done}, are kept")
    assert np.linalg.norm(model.item_vectors_.vectors, axis=1).max() < 1000
    for _ in range(2):  # the second time from the checkpoint
        with pytest.raises(TrainingError, match=f"diverged in epoch {done + 1}"):
            model.fit(sessions, checkpoint_dir=tmp_path, show_progress=False)
        assert written(tmp_path) == ["checkpoint.json", f"epoch-{done:05d}.safetensors"]


class Growing:
    """An engine whose tables are given, one pair per epoch, and whose loss is too."""

    clicks_per_epoch = 1.0

    def __init__(self, lengths: list[float], losses: list[float]) -> None:
        self.lengths, self.losses, self.epoch = lengths, losses, -1

    def rows(self) -> tuple:
        rows = np.full((3, 4), self.lengths[self.epoch] / 2, np.float32)  # of this length in four dimensions
        return np.zeros((3, 4), np.float32), rows

    def run_epoch(self, epoch: int, rates: tuple[float, float], on_progress: object) -> object:
        self.epoch = epoch
        return SimpleNamespace(losses={"window": self.losses[epoch]}, pairs=1.0, dropped_noise=0)


@pytest.mark.parametrize(
    ("lengths", "losses", "words"),
    [
        ([1, 999, 1001, 1], [1, 1, 1, 1], r"in epoch 3: the longest vector is 1e\+03 long"),
        ([1, 9, np.nan, 1], [1, 1, 1, 1], "in epoch 3: the longest vector is nan"),
        ([1, 9, np.inf, 1], [1, 1, 1, 1], "in epoch 3: the longest vector is inf"),
        ([1, 1, 1, 1], [1, 1, np.nan, 1], "in epoch 3: the loss is no longer finite"),
        ([1, 1, 1, 1], [1, 1, np.inf, 1], "in epoch 3: the loss is no longer finite"),
    ],
)
def test_a_row_beyond_the_bound_or_no_number_ends_training(lengths: list, losses: list, words: str) -> None:
    import pyarrow as pa

    saved: list[int] = []
    run = Training(
        engine=Growing(lengths, losses),
        vocabulary=Vocabulary(pa.array([1, 2, 3]), np.ones(3, np.int64)),
        schedule=Schedule(0.1, 0.1, 4),
        state=TrainingState(),
        checkpoint=lambda state: saved.append(state.epochs_done),
        show_progress=False,
    )
    with pytest.raises(TrainingError, match=words):
        run.run()
    assert (saved, run.state.epochs_done) == ([1, 2], 2)
    assert run.vectors().context_vectors is not None
    assert run.vectors().context_vectors[0, 0] == lengths[1] / 2  # type: ignore[index]


def test_a_loss_that_is_no_number_ends_the_epoch_at_once() -> None:
    import pyarrow as pa

    told: list[float] = []

    class Exploding(Growing):
        def run_epoch(self, epoch: int, rates: tuple[float, float], on_progress: Callable) -> object:
            for loss in (1.0, math.nan if epoch == 1 else 1.0, 1.0):
                on_progress(0.3, loss)
                told.append(loss)
            return super().run_epoch(epoch, rates, on_progress)

    run = Training(
        engine=Exploding([1, 1, 1], [1, 1, 1]),
        vocabulary=Vocabulary(pa.array([1, 2, 3]), np.ones(3, np.int64)),
        schedule=Schedule(0.1, 0.1, 3),
        state=TrainingState(),
        show_progress=False,
    )
    with pytest.raises(TrainingError, match="in epoch 2: the loss is no longer finite"):
        run.run()
    assert told == [1.0] * 4  # three of the first epoch, one of the second


def test_a_disk_that_fills_half_way_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    """The record is the larger file here: it breaks off after the tables have been written."""
    import resource

    tables = {"vectors": np.eye(4, dtype=np.float32)}
    first = TrainingState(1, [{"epoch": 1}], 0, tables)
    write_checkpoint(tmp_path, "key", first)
    longer = TrainingState(2, [{"epoch": float(epoch)} for epoch in range(1000)], 0, tables)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(TrainingError, match=r"checkpoint of epoch 2 cannot be written"):
            write_checkpoint(tmp_path, "key", longer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "epoch-00002.safetensors").exists()
    resumed = read_checkpoint(tmp_path, "key")
    assert resumed is not None
    assert (resumed.epochs_done, resumed.history) == (1, first.history)
    write_checkpoint(tmp_path, "key", longer)
    resumed = read_checkpoint(tmp_path, "key")
    assert resumed is not None
    assert resumed.history == longer.history


def test_progress_shows_speed_and_what_is_left(
    sessions: Sessions, capsys: pytest.CaptureFixture[str]
) -> None:
    small(epochs=3).fit(sessions)
    shown = capsys.readouterr().err
    assert "clicks/s" in shown
    assert "100%" in shown
    assert "<00:00" in shown  # elapsed<left
