"""Workers as processes: torchrun, Spark, a killed worker; what the command line refuses and publishes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cluster_world import cluster_lists, cluster_share, same
from together import Member, together

from item2vec.embeddings import ItemVectors, train_worker
from item2vec.embeddings.corpus import build_corpus
from item2vec.embeddings.distributed.communicator import Alone
from item2vec.embeddings.distributed.launch import WORKER, WorkerJob, train_with_spark, train_with_torchrun
from item2vec.embeddings.distributed.model import SharedItem2Vec
from item2vec.embeddings.opening import window_settings
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


@pytest.mark.parametrize("name", ["none", "daily"])  # "none" is torchrun's own
def test_a_restart_takes_what_its_launch_published_and_nothing_older(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    out = tmp_path / "vectors"
    out.mkdir()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", name)
    for restarts in ("0", "1"):  # the refusal of the first start is no reason to accept it at the second
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", restarts)
        assert worker(folder, out) == 2
        assert "choose another name for the vectors" in caplog.text
        caplog.clear()
    (out / train_worker.LAUNCH).write_text(name, "utf-8")  # published, and then a worker died
    assert worker(folder, out) == 0
    assert os.listdir(out) == []


def test_torchrun_fails_where_vectors_lie_already(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "vectors"
    out.mkdir()
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "1", "--max-restarts", "1"),
        *("--master-port", str(free_port()), "-m", WORKER, *WorkerJob(folder, out, PARAMS).arguments()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.count("choose another name for the vectors") == 2
    assert os.listdir(out) == []


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_ctrl_c_is_no_traceback(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_worker, "train", interrupted)
    assert worker(folder, tmp_path / "vectors", "--checkpoints", tmp_path / "c") == 130
    assert "interrupted; the same command goes on" in caplog.text


def test_spark_says_when_its_workers_made_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TorchDistributor does not pass on how torchrun ended."""
    sql = pytest.importorskip("pyspark.sql")
    distributor = pytest.importorskip("pyspark.ml.torch.distributor")
    monkeypatch.setattr(sql.SparkSession, "getActiveSession", lambda: object())
    monkeypatch.setattr(distributor.TorchDistributor, "__init__", lambda *_, **__: None)
    monkeypatch.setattr(distributor.TorchDistributor, "run", lambda *_: None)
    with pytest.raises(TrainingError, match=r"the 2 workers on Spark made no .*error streams"):
        train_with_spark(WorkerJob(folder, tmp_path / "vectors", {"epoch": 2}), 2)


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
    "threads": (("--set", "workers=4"), 2, "--threads their threads"),
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
    "too many": (("--exchanges-per-epoch", "100000"), "int of at least 1 and at most 1,000 value: '100000'"),
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


def test_sessions_that_are_none(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert worker(tmp_path / "nothing", tmp_path / "vectors") == 2
    assert "nothing does not exist; give the folder of a sessions artifact" in caplog.text
    assert worker(tmp_path, tmp_path / "vectors") == 2
    assert "holds no sessions; give the folder of a sessions artifact" in caplog.text
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    next(damaged.rglob("part-0.parquet")).unlink()
    assert worker(damaged, tmp_path / "vectors") == 4
    assert "holds no whole sessions artifact" in caplog.text


PLACES = {
    "address": ("s3://bucket/vectors", (), 2, "is an address; workers read and write folders"),
    "in the sessions": ("{sessions}/vectors", (), 2, "the vectors would lie in the sessions"),
    "checkpoints": ("{tmp}/v", ("--checkpoints", "{tmp}/v/c"), 2, "the checkpoints would lie in the vectors"),
    "same": ("{tmp}/v", ("--checkpoints", "{tmp}/v"), 2, "the checkpoints would lie in the vectors"),
    "figures": ("{tmp}/v", ("--figures", "{tmp}/no/f.json"), 2, "there is no folder"),
    "not written": ("/proc/nowhere/v", (), 4, "no vectors can be written as /proc/nowhere/v"),
}


@pytest.mark.parametrize(("vectors", "options", "code", "said"), PLACES.values(), ids=PLACES)
def test_places_that_would_fail_in_the_end_are_refused_before_training(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    vectors: str,
    options: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    def trained(*_: object) -> None:
        raise AssertionError("trained in vain")

    monkeypatch.setattr(train_worker, "train", trained)
    monkeypatch.chdir(tmp_path)
    names = {"sessions": folder, "tmp": tmp_path}
    assert worker(folder, vectors.format(**names), *(option.format(**names) for option in options)) == code
    assert said in caplog.text
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["train = 3", "[trian]\nepochs = 2"])
def test_a_config_without_training_is_refused(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (tmp_path / "run.toml").write_text(text, "utf-8")
    assert worker(folder, tmp_path / "vectors", "--config", tmp_path / "run.toml") == 2
    assert "has no section [train]" in caplog.text


def test_workers_of_one_machine_share_its_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = build_corpus(world(), 1, 0.0)[1]
    model = SharedItem2Vec(**PARAMS)
    settings = window_settings(model.get_params(), corpus)
    one = model._memory_need(corpus, settings, False, True)
    model.communicator = Member(0, [np.zeros(0)] * 3, None)
    three = model._memory_need(corpus, settings, False, True)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    together_need = model._memory_need(corpus, settings, False, True)
    assert together_need.total == 3 * three.total > 3 * one.total
    assert "by 3 workers of this machine" in together_need.what


def test_no_workers_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0 workers train nothing"):
        train_with_torchrun(WorkerJob(folder, tmp_path / "vectors"), 0)


def test_a_default_of_none_is_not_said() -> None:
    assert "device" not in " ".join(WorkerJob("s", "v", {"device": None}).arguments())


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        worker("--help")
    said = capsys.readouterr().out
    assert "torchrun --nproc-per-node 2" in said
    assert "--exchanges-per-epoch" in said
