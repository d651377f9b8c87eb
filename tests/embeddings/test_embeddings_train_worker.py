"""Workers as processes: torchrun, Spark, a killed worker; what the command line refuses and publishes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cluster_world import cluster_lists, cluster_share, same
from together import Member, together

from item2vec.embeddings import ItemVectors, train_worker
from item2vec.embeddings.distributed.communicator import Alone
from item2vec.embeddings.distributed.launch import WORKER, WorkerJob, train_with_spark, train_with_torchrun
from item2vec.embeddings.distributed.model import SharedItem2Vec
from item2vec.errors import RunError, TrainingError, UsageError
from item2vec.sessions.artifact import save_sessions
from item2vec.sessions.container import Sessions
from item2vec.sessions.shares import share

pytestmark = pytest.mark.distributed
PARAMS = {"vector_size": 16, "epochs": 3, "seed": 7}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sessions") / "sessions"
    folder.mkdir()
    save_sessions(world(), folder)
    return folder


def world() -> Sessions:
    """Clusters, and items that one worker alone meets: their rows travel all the same."""
    return Sessions.from_lists([*cluster_lists(), [1000, 1001], [1015, 1016]])


def referee(**params: object) -> ItemVectors:
    """What two workers of one process learn; two numbers have one sum, whoever adds them."""
    sessions = world()
    made = (SharedItem2Vec(**{**PARAMS, **params}, workers=1) for _ in range(2))
    models = list(made)

    def work(member: Member) -> ItemVectors:
        model = models[member.rank].join(member, 2)
        return model.fit(share(sessions, member.rank, 2), show_progress=False).item_vectors_

    return together(2, work)[0]


def worker_processes(parent: int) -> dict[str, int]:
    """Find the children of torchrun: process by rank."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(status.read_text().rpartition(")")[2].split()[1]) != parent:
                continue
            settings = (status.parent / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile
            continue
        ranks = [entry[5:].decode() for entry in settings if entry.startswith(b"RANK=")]
        found |= dict.fromkeys(ranks, int(status.parent.name))
    return found


@pytest.mark.parametrize("victim", ["1", pytest.param("0", marks=pytest.mark.long)])
def test_a_killed_worker_costs_a_restart_and_no_byte(folder: Path, tmp_path: Path, victim: str) -> None:
    epochs, out, checkpoints = 100, tmp_path / "vectors", tmp_path / "checkpoints"
    job = WorkerJob(folder, out, {**PARAMS, "epochs": epochs}, 2, checkpoints=checkpoints)
    run = subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *("--max-restarts", "1", "--monitor-interval", "0.1", "-m", WORKER, *job.arguments()),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not (checkpoints / "checkpoint.json").exists() and run.poll() is None:
            time.sleep(0.02)
        assert run.poll() is None, run.communicate()[1]
        os.kill(worker_processes(run.pid)[victim], signal.SIGKILL)
        assert not out.exists(), "the training was over before the worker was killed"
        said = run.communicate(timeout=120)[1]
    finally:
        run.terminate()  # its workers with it
        run.wait()
    assert run.returncode == 0, said
    assert f"-9) local_rank: {victim}" in said
    assert f"worker 0: epoch {epochs}:" in said
    assert said.count("worker 0: epoch 1:") == 1, "it began again instead of going on"
    assert same(ItemVectors.load(out), referee(epochs=epochs))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.long
def test_without_restarts_a_refused_training_is_one_error(folder: Path, tmp_path: Path) -> None:
    job = WorkerJob(folder, tmp_path / "vectors", {"vector_size": 0})
    with pytest.raises(TrainingError, match="the 2 workers failed"):
        train_with_torchrun(job, 2)
    assert not (tmp_path / "vectors").exists()


@pytest.mark.spark
@pytest.mark.long
@pytest.mark.filterwarnings("ignore:::pyspark")
def test_torchrun_and_spark_train_the_same_bytes(folder: Path, tmp_path: Path, spark) -> None:  # type: ignore[no-untyped-def]
    by_torchrun = train_with_torchrun(WorkerJob(folder, tmp_path / "torchrun", PARAMS, 2), 2)
    by_spark = train_with_spark(WorkerJob(folder, tmp_path / "spark", PARAMS, 2), 2)
    assert same(by_torchrun, by_spark)
    assert same(by_torchrun, referee())
    assert cluster_share(by_spark) > 0.9
    for name in ("vectors.safetensors", "items.parquet", "config.json", "history.json"):
        assert (tmp_path / "torchrun" / name).read_bytes() == (tmp_path / "spark" / name).read_bytes()
    for train in (train_with_spark, train_with_torchrun):
        with pytest.raises(UsageError, match="choose another name for the vectors"):
            train(WorkerJob(folder, tmp_path / "spark", PARAMS, 2), 2)


@pytest.mark.long
def test_the_torch_engine_trains_over_gloo(folder: Path, tmp_path: Path) -> None:
    params = {**PARAMS, "epochs": 6, "engine": "torch", "device": "cpu"}
    vectors = train_with_torchrun(WorkerJob(folder, tmp_path / "vectors", params, 2), 2)
    assert same(vectors, referee(**params))
    assert cluster_share(vectors) > 0.9


def test_spark_has_to_be_there(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sql = pytest.importorskip("pyspark.sql")
    monkeypatch.setattr(sql.SparkSession, "getActiveSession", lambda: None)  # other tests may have one
    with pytest.raises(UsageError, match="no Spark session is active"):
        train_with_spark(WorkerJob(folder, tmp_path / "vectors"), 2)


def worker(*arguments: object) -> int:
    return train_worker.main([str(argument) for argument in arguments])


def test_one_worker_alone_publishes(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run.toml"
    run.write_text(
        "[train]\nvector_size = 16\nepochs = 9\nseed = 7\nworkers = 2\ncheckpoint_every = 2\n", "utf-8"
    )
    out, figures = tmp_path / "a" / "vectors", tmp_path / "figures.json"
    options = "--config", run, "--set", "epochs=3", "--exchanges-per-epoch", 1, "--figures", figures
    assert worker(folder, out, *options) == 0
    alone = SharedItem2Vec(**PARAMS, workers=1).fit(world(), show_progress=False)
    assert same(ItemVectors.load(out), alone.item_vectors_)
    assert '"exchanges": 3' in figures.read_text()
    assert os.listdir(out.parent) == ["vectors"]


def test_vectors_are_published_whole_or_not_at_all(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, torn = tmp_path / "vectors", tmp_path / ".vectors.part"
    torn.mkdir()
    (torn / "vectors.safetensors").write_bytes(b"left by a killed worker")
    model = SharedItem2Vec(**PARAMS, workers=1).fit(Sessions.from_lists(cluster_lists()), show_progress=False)

    def full(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(train_worker.os, "rename", full)
        with pytest.raises(RunError, match=r"cannot be published as .*No space left"):
            train_worker.publish(model, out)
    assert not out.exists()
    train_worker.publish(model, out)
    assert same(ItemVectors.load(out), model.item_vectors_)
    assert not torn.exists()
    with pytest.raises(RunError, match="cannot be published"):
        train_worker.publish(model, out)


def test_a_restart_after_publishing_has_nothing_to_do(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert worker(folder, tmp_path) == 2
    assert "choose another name for the vectors" in caplog.text
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert worker(folder, tmp_path) == 0
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("told", ["--launch", "torchrun"])
def test_a_worker_that_comes_again_knows_the_vectors_of_its_launch(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, told: str
) -> None:
    """Started by a new torchrun, as when Spark tries a stage again: no restart is counted."""
    out, ours, others = tmp_path / "vectors", "6" * 32, "7" * 32

    def start(launch: str) -> int:
        if told == "--launch":
            return worker(folder, out, "--set", "epochs=1", "--launch", launch)
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", launch)
        return worker(folder, out, "--set", "epochs=1")

    def lost(*_: object) -> None:
        if out.exists():  # before the last sum
            raise RunError("another worker is lost")

    with monkeypatch.context() as patch:
        patch.setattr(Alone, "sum", lost)
        assert start(ours) == 4
    published = ItemVectors.load(out)
    monkeypatch.setattr(train_worker, "train", lost)  # there is nothing to train any more
    for stranger in (others, "daily"):
        assert start(stranger) == 2
        assert "choose another name for the vectors" in caplog.text
        caplog.clear()
    assert start(ours) == 0
    assert same(ItemVectors.load(out), published)
    assert not [name for name in os.listdir(out) if name.startswith(".")]
    assert start(ours) == 2  # that launch has ended


REFUSED = {
    "no name": (("--set", "64"), 2, "--set '64' is no NAME=VALUE, such as --set vector_size=64"),
    "unknown": (("--set", "vectors=64"), 2, "unknown hyper-parameter 'vectors'"),
    "range": (("--set", "epochs=0"), 2, "epochs is 0; it must be a whole number, at least 1"),
    "text": (("--set", "alpha=high"), 2, "alpha is 'high'; it must be a number above 0"),
    "engine": (("--set", "engine=gensim"), 2, "engine is 'gensim'; it must be one of 'numba', 'torch'"),
    "cbow": (("--set", "engine=torch", "--set", "sg=0"), 2, "has no sg=0 (CBOW)"),
    "no file": (("--config", "/nowhere.toml"), 2, "/nowhere.toml"),
    "checkpoints": (("--checkpoints", __file__), 2, "cannot be a folder"),
}


@pytest.mark.parametrize(("options", "code", "said"), REFUSED.values(), ids=REFUSED)
def test_wrong_arguments(
    folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    options: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    assert worker(folder, tmp_path / "vectors", *options) == code
    assert said in caplog.text
    assert os.listdir(tmp_path) == []


MISREAD = {
    "threads": (("--threads", "0"), "argument --threads: invalid int of at least 1 value: '0'"),
    "exchanges": (
        ("--exchanges-per-epoch", "x"),
        "argument --exchanges-per-epoch: invalid int of at least 1",
    ),
    "timeout": (("--timeout-minutes", "nan"), "argument --timeout-minutes: invalid float of at least 0.01"),
    "option": (("--gpus", "1"), "unrecognized arguments: --gpus"),
}


@pytest.mark.parametrize(("options", "said"), MISREAD.values(), ids=MISREAD)
def test_arguments_of_the_wrong_kind(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    with pytest.raises(SystemExit) as refused:
        worker(folder, tmp_path / "vectors", *options)
    assert refused.value.code == 2
    assert said in capsys.readouterr().err


def test_sessions_that_are_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert worker(tmp_path / "nothing", tmp_path / "vectors") == 4
    assert "holds no whole sessions artifact" in caplog.text


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        worker("--help")
    said = capsys.readouterr().out
    assert "torchrun --nproc-per-node 2" in said
    assert "--exchanges-per-epoch" in said
