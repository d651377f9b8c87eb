"""Runs on an object store, against a real server on loopback: whole or not there, one winner."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import boto3
import numpy as np
import pytest
from test_artifacts_releases import run, snapshot, toy_stages
from typer.testing import CliRunner

import item2vec as i2v
from item2vec.artifacts import (
    RunFolder,
    cached_release,
    open_object,
    publish,
    pull,
    push,
    read_release,
    remote_rollback,
    run_stages,
)
from item2vec.artifacts import remote as remote_module
from item2vec.artifacts.object_store import ObjectStore
from item2vec.cli import app
from item2vec.config import RunConfig
from item2vec.errors import (
    CorruptArtifactError,
    LockedRunError,
    MissingDependencyError,
    RunError,
    UsageError,
)
from item2vec.run import run_pipeline

URL = "s3://bucket/runs/toy"
PREFIX = "runs/toy/"
SESSION = boto3.session.Session


@pytest.fixture(scope="module")
def server():
    """Moto's server, which honours If-Match and If-None-Match; its address."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line per request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def session(server):
    """One boto3 session: reading Amazon's models takes a second, and every session does."""
    return boto3.session.Session("someone", "secret", region_name="us-east-1")


@pytest.fixture
def bucket(server, session, tmp_path, monkeypatch):
    """An empty bucket of that server, and an environment that leads to it."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "ITEM2VEC_CACHE": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3.session, "Session", lambda: session)
    client = ObjectStore(URL).client
    client.create_bucket(Bucket="bucket")
    yield client
    for one in client.list_objects_v2(Bucket="bucket").get("Contents", ()):
        client.delete_object(Bucket="bucket", Key=one["Key"])


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "runs" / "toy")


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("abcde")
    return path


@pytest.fixture
def sent(session, monkeypatch):
    """What the clients of this test ask the server for, and a hook before each of their requests."""
    told = SimpleNamespace(asked=[], before=lambda _name, _number: None)
    make = session.client

    def client(*arguments, **options):
        made = make(*arguments, **options)

        def seen(event_name, **_request):
            name = event_name.rpartition(".")[2]
            told.before(name, len(told.asked))
            told.asked.append(name)

        made.meta.events.register("before-send.s3", seen)
        return made

    monkeypatch.setattr(session, "client", client)
    return told


def keys(client):
    return {one["Key"] for one in client.list_objects_v2(Bucket="bucket").get("Contents", ())}


def key_of(client, part):
    (found,) = (key for key in keys(client) if part in key and key.endswith(".txt"))
    return found


def same_files(one: Path, other: Path) -> bool:
    def files(place):
        return {
            str(path.relative_to(place)): path.read_bytes()
            for path in place.rglob("*")
            if path.is_file() and path.name != ".lock"
        }

    return files(one) == files(other)


def test_a_release_goes_there_and_comes_back_to_the_byte(bucket, folder, log, tmp_path):
    _, release = run(folder, log)
    done = push(folder, URL)
    assert (done.release.id, done.before, done.files) == (release.id, None, 6)
    assert len(keys(bucket)) == 8  # three objects with a manifest each, the release, CURRENT
    back = RunFolder(tmp_path / "elsewhere")
    assert pull(URL, back).id == release.id
    assert same_files(back.path, folder.path)
    assert read_release(back.path).open("double").figures == {"n": 10}


def test_the_same_push_and_pull_again_change_nothing(bucket, folder, log, tmp_path, sent):
    run(folder, log)
    push(folder, URL)
    back = RunFolder(tmp_path / "elsewhere")
    pull(URL, back)
    before, there = snapshot(back), keys(bucket)
    sent.asked.clear()
    again = push(folder, URL)
    assert (again.files, again.before) == (0, again.release.id)
    # Only the release's file, under conditions that must be refused.
    assert sent.asked.count("PutObject") == 2
    pull(URL, back)
    assert (snapshot(back), keys(bucket)) == (before, there)


class Killed(BaseException):
    """The end of the process, between two requests."""


def test_a_push_that_is_killed_before_any_put_leaves_the_old_release(bucket, folder, log, tmp_path, sent):
    _, old = run(folder, log)
    push(folder, URL)
    _, new = run(folder, log, offset=7)

    there = keys(bucket)

    def killed(name, _number):
        if name == "PutObject" and sent.asked.count("PutObject") == puts:
            raise Killed

    for puts in range(10):  # six files, the release, the two that must be refused, CURRENT
        sent.asked.clear()
        sent.before = killed
        with pytest.raises(Killed):
            push(folder, URL)
        sent.before = lambda _name, _number: None
        back = RunFolder(tmp_path / f"after {puts}")
        assert pull(URL, back).id == old.id
        for key in keys(bucket) - there:
            bucket.delete_object(Bucket="bucket", Key=key)
    sent.asked.clear()
    sent.before = lambda name, _number: killed(name, _number) if puts < 10 else None
    puts = 4
    with pytest.raises(Killed):
        push(folder, URL)
    puts = 10
    assert push(folder, URL).files == 2  # goes on where the killed one stopped
    assert pull(URL, RunFolder(tmp_path / "in the end")).id == new.id


def test_of_two_pushes_at_once_exactly_one_wins(bucket, folder, log, tmp_path, sent):
    _, first = run(folder, log)
    push(folder, URL)
    other = RunFolder(tmp_path / "runs" / "other")
    _, theirs = run(other, log, factor=5)
    _, ours = run(folder, log, factor=3)
    sent.asked.clear()
    waiting = [True]

    def other_one_first(name, _number):
        if waiting and name == "PutObject":  # ours has seen CURRENT by now
            waiting.clear()
            push(other, URL)

    sent.before = other_one_first
    with pytest.raises(LockedRunError, match=rf"CURRENT was moved .* to release {theirs.id[:12]}; .*pull"):
        push(folder, URL)
    assert cached_release(URL).id == theirs.id
    again = push(folder, URL)  # knowing what it replaces
    assert (again.before, again.files) == (theirs.id, 0)
    assert cached_release(URL).id == ours.id != first.id


def test_of_two_first_pushes_exactly_one_wins(bucket, folder, log, tmp_path, sent):
    run(folder, log)
    other = RunFolder(tmp_path / "runs" / "other")
    _, theirs = run(other, log, factor=5)
    waiting = [True]

    def other_one_first(name, _number):
        if waiting and name == "PutObject":
            waiting.clear()
            push(other, URL)

    sent.before = other_one_first
    with pytest.raises(LockedRunError, match="CURRENT was moved"):
        push(folder, URL)
    assert cached_release(URL).id == theirs.id


def test_a_put_that_was_sent_twice_has_not_lost(bucket, folder, log, monkeypatch):
    """The first answer was lost: the store refuses the second, which is no other process."""
    _, release = run(folder, log)
    once = ObjectStore.put

    def twice(store, key, body, *, over, notes=None):
        done = once(store, key, body, over=over, notes=notes)
        return once(store, key, body, over=over, notes=notes) if key == "CURRENT" else done

    monkeypatch.setattr(ObjectStore, "put", twice)
    assert push(folder, URL).release.id == release.id


def test_a_store_without_conditions_is_refused(bucket, folder, log, monkeypatch):
    run(folder, log)
    for ignored in (lambda over: over is None, lambda over: over is not None):
        once = ObjectStore.put

        def put(store, key, body, *, over, notes=None, once=once, ignored=ignored):
            if ignored(over):
                store.client.put_object(Bucket="bucket", Key=PREFIX + key, Body=body)
                return True
            return once(store, key, body, over=over, notes=notes)

        with monkeypatch.context() as patched:
            patched.setattr(ObjectStore, "put", put)
            with pytest.raises(RunError, match="ignores If-None-Match or If-Match"):
                push(folder, URL)
        assert PREFIX + "CURRENT" not in keys(bucket)


@pytest.mark.parametrize("body", [b"9", b"12345", None], ids=["other bytes", "longer", "missing"])
def test_a_damaged_object_is_refused_and_a_push_mends_it(bucket, folder, log, tmp_path, body):
    _, old = run(folder, log)
    push(folder, URL)
    key = key_of(bucket, "objects/count/")
    if body is None:
        bucket.delete_object(Bucket="bucket", Key=key)
    else:
        bucket.put_object(Bucket="bucket", Key=key, Body=body)
    back = RunFolder(tmp_path / "elsewhere")
    told = rf"s3://bucket/{key} is (damaged|missing).*`item2vec push RUN {URL}`"
    for read in (lambda: pull(URL, back), lambda: cached_release(URL)):
        with pytest.raises(CorruptArtifactError, match=told):
            read()
    assert not back.current.exists()
    run(folder, log, factor=9)  # the same count below another release
    push(folder, URL)
    assert pull(URL, back).open("count").figures == {"n": 5}
    if body is not None:
        bucket.put_object(Bucket="bucket", Key=key, Body=body)
    else:
        bucket.delete_object(Bucket="bucket", Key=key)
    with pytest.raises(CorruptArtifactError, match=told):
        remote_rollback(URL)
    assert remote_module.current_id(ObjectStore(URL).get("CURRENT")) != old.id


@pytest.mark.parametrize("part", ["releases/", "MANIFEST.json"])
def test_damaged_documents_are_refused(bucket, folder, log, part):
    run(folder, log)
    push(folder, URL)
    key = next(key for key in sorted(keys(bucket)) if part in key)
    body = bucket.get_object(Bucket="bucket", Key=key)["Body"].read()
    for broken in (body[:-9], body.replace(b'"count"', b'"c0unt"'), b"{}", b""):
        bucket.put_object(Bucket="bucket", Key=key, Body=broken)
        with pytest.raises(CorruptArtifactError, match=f"s3://bucket/{key} .*item2vec push"):
            cached_release(URL)
    bucket.delete_object(Bucket="bucket", Key=key)
    with pytest.raises(CorruptArtifactError, match=f"s3://bucket/{key} is missing"):
        cached_release(URL)


def test_a_rebuilt_object_of_the_same_id_leaves_the_old_release_readable(bucket, folder, log, tmp_path):
    """A multi-threaded stage gives other bytes each time: both builds lie beside each other."""
    from item2vec.artifacts import StageKey

    builds = {}
    for number in (1, 2):
        other = RunFolder(tmp_path / f"machine {number}")

        def build(out_dir, number=number):
            (out_dir / "n.txt").write_text(str(number))
            return {"n": number}

        with other.lock():
            builds[number] = publish(other, {"train": other.write(StageKey("train", 1), build)})
        push(other, URL)
    for number in (1, 2, 1):
        found = cached_release(URL, builds[number].id[:10])
        assert (found.open("train").path / "n.txt").read_text() == str(number)
    with pytest.raises(UsageError, match=r"another build of the object .* pull into a new folder"):
        pull(URL, RunFolder(tmp_path / "machine 1"))
    assert read_release(tmp_path / "machine 1").open("train").figures == {"n": 1}


def test_the_cache_is_used_again_and_mended(bucket, folder, log, sent):
    _, old = run(folder, log)
    push(folder, URL)
    sent.asked.clear()
    found = cached_release(URL, stages=["double", "no such"])
    fetched = sent.asked.count("GetObject")
    assert fetched == 4  # CURRENT, the release, a manifest and its file
    assert not found.object_path("count").exists()
    cached_release(URL, stages=["double"])
    assert sent.asked.count("GetObject") == fetched + 2  # CURRENT and the release
    run(folder, log, side=5)
    push(folder, URL)
    sent.asked.clear()
    assert cached_release(URL, stages=["double"]).id != old.id
    assert sent.asked.count("GetObject") == 2  # another release of the same object
    damaged = found.object_path("double") / "n.txt"
    damaged.chmod(0o644)
    damaged.write_text("11")
    assert open_object(cached_release(URL, stages=["double"]).object_path("double")).figures == {"n": 10}
    sent.asked.clear()
    assert cached_release(URL, old.id, ["double"]).id == old.id
    assert not sent.asked  # a whole id that is there: nobody is asked


def test_a_second_reader_waits_for_the_first(bucket, folder, log, monkeypatch):
    from item2vec.artifacts import pulling

    _, release = run(folder, log)
    push(folder, URL)
    cache = pulling._cache_of(ObjectStore(URL))
    naps = []
    with pytest.MonkeyPatch.context() as patched:
        holder = cache.lock()
        holder.__enter__()
        patched.setattr(
            pulling.time, "sleep", lambda seconds: (naps.append(seconds), holder.__exit__(None, None, None))
        )
        assert cached_release(URL).id == release.id
    assert len(naps) == 1
    monkeypatch.setattr(pulling, "WAIT_SECONDS", -1.0)
    with cache.lock(), pytest.raises(LockedRunError):
        pulling._cache(ObjectStore(URL), release.__class__(release.id, cache, release.body), None)


def test_the_way_back_moves_current(bucket, folder, log):
    releases = [run(folder, log, side=side)[1] for side in (1, 2, 3)]
    for release in releases:
        push(folder, URL, release.id)
    with pytest.raises(UsageError, match=r"no release whose id starts with 'zz'; there are \w{12}, "):
        remote_rollback(URL, "zz")
    before, now = remote_rollback(URL, releases[0].id[:9])
    assert (before, now.id) == (releases[2].id, releases[0].id)
    assert cached_release(URL).id == releases[0].id
    before, now = remote_rollback(URL, releases[0].id)
    assert before == now.id == releases[0].id
    bucket.put_object(Bucket="bucket", Key=PREFIX + "CURRENT", Body=b"nonsense\n")
    with pytest.raises(CorruptArtifactError, match=r"CURRENT names no release; .*rollback .* --to RELEASE"):
        cached_release(URL)
    assert remote_rollback(URL, releases[1].id)[0] is None
    assert cached_release(URL).id == releases[1].id


def test_the_way_back_without_a_name(bucket, folder, log):
    ids, follows = [], None
    for number in (1, 2, 3):
        log.write_text("abc" * number)
        with folder.lock():
            release = publish(folder, run_stages(folder, toy_stages(log)), {"follows": follows})
        follows = release.id
        ids.append(release.id)
        if number != 2:  # never pushed: the one pushed before is what was current there
            push(folder, URL)
    before, now = remote_rollback(URL)
    assert (before, now.id, cached_release(URL).id) == (ids[2], ids[0], ids[0])
    with pytest.raises(UsageError, match="is the first release of"):
        remote_rollback(URL)


def test_the_way_back_is_what_was_current_there_before(bucket, folder, log):
    a, b, c = (run(folder, log, side=side)[1].id for side in (1, 2, 3))
    for release in (a, b, c, a, c):  # some of them within one second
        push(folder, URL, release)
    assert bucket.get_object(Bucket="bucket", Key=PREFIX + "CURRENT")["Body"].read() == f"{c}\n".encode()
    assert [remote_rollback(URL)[1].id for _ in range(2)] == [a, c]
    push(folder, URL)  # what is current already
    assert [remote_rollback(URL)[1].id for _ in range(2)] == [b, a]
    with pytest.raises(UsageError, match=f"{a[:12]} is the first release of"):
        remote_rollback(URL)
    assert [remote_rollback(URL, to)[1].id for to in (b, c, None, c, a)] == [b, c, b, c, a]
    with pytest.raises(UsageError, match=f"{a[:12]} is the first release of"):
        remote_rollback(URL)


def test_the_way_back_of_a_push_that_lost_or_was_killed_and_came_again(bucket, folder, log, sent):
    a, b, c = (run(folder, log, side=side)[1].id for side in (1, 2, 3))
    push(folder, URL, a)
    sent.asked.clear()
    for meanwhile in (lambda: push(folder, URL, b), None):
        waiting = [True]

        def last_put(name, _number, meanwhile=meanwhile, waiting=waiting):
            if waiting and name == "PutObject" and PREFIX + f"releases/{c}.json" in keys(bucket):
                waiting.clear()
                if meanwhile is None:
                    raise Killed
                meanwhile()

        sent.before = last_put
        with pytest.raises((LockedRunError, Killed)):
            push(folder, URL, c)
        sent.before = lambda _name, _number: None
    push(folder, URL, c)
    assert remote_rollback(URL)[1].id == b


def test_the_way_back_after_the_current_release_was_mended(bucket, folder, log):
    a, b = (run(folder, log, side=side)[1].id for side in (1, 2))
    for release in (a, b):
        push(folder, URL, release)
    bucket.delete_object(Bucket="bucket", Key=f"{PREFIX}releases/{b}.json")
    push(folder, URL, b)
    assert remote_rollback(URL)[1].id == a


def test_a_current_without_a_note_asks_for_a_name(bucket, folder, log):
    a, b, c = (run(folder, log, side=side)[1].id for side in (1, 2, 3))
    for release in (a, b):
        push(folder, URL, release)
    bucket.put_object(Bucket="bucket", Key=PREFIX + "CURRENT", Body=f"{b}\n".encode())  # as by a copy
    asked = rf"CURRENT does not note what was current before {b[:12]}; .*rollback {URL} --to RELEASE` \(there"
    with pytest.raises(UsageError, match=asked):
        remote_rollback(URL)
    push(folder, URL, c)
    assert remote_rollback(URL)[1].id == b
    with pytest.raises(UsageError, match=asked):
        remote_rollback(URL)
    bucket.delete_object(Bucket="bucket", Key=PREFIX + "CURRENT")
    push(folder, URL, b)  # not the first release, but nothing tells what was before
    with pytest.raises(UsageError, match=asked):
        remote_rollback(URL)


def test_the_trail_is_cut_where_the_notes_would_be_too_large(bucket, folder, log, monkeypatch):
    monkeypatch.setattr(remote_module, "_MOST_NOTED", 2)
    ids = [run(folder, log, side=side)[1].id for side in range(5)]
    for release in ids:
        push(folder, URL, release)
    assert [remote_rollback(URL)[1].id for _ in range(2)] == [ids[3], ids[2]]
    with pytest.raises(UsageError, match=r"does not note .* --to RELEASE"):
        remote_rollback(URL)


def test_a_push_of_what_is_current_sees_that_it_was_moved_meanwhile(bucket, folder, log, sent):
    a, b = (run(folder, log, side=side)[1].id for side in (1, 2))
    push(folder, URL, a)
    waiting = [True]

    def other_one_first(name, _number):
        if waiting and name == "PutObject":  # CURRENT was seen by now
            waiting.clear()
            push(folder, URL, b)

    sent.before = other_one_first
    with pytest.raises(LockedRunError, match=f"CURRENT was moved .* to release {b[:12]}"):
        push(folder, URL, a)


def test_what_is_wrong_with_the_store_is_said_in_plain_words(bucket, folder, log, server, monkeypatch):
    run(folder, log)
    monkeypatch.setattr(boto3.session, "Session", SESSION)
    for address in ("s3://", "s3://b", "s3://Bucket/x", "s3://bucket/../x", "s3://bucket/a//b", "http://x/y"):
        with pytest.raises(UsageError, match="write s3://BUCKET/PREFIX"):
            push(folder, address)
    for call in (lambda url: push(folder, url), cached_release, remote_rollback):
        with pytest.raises(UsageError, match="there is no bucket 'nowhere'"):
            call("s3://nowhere/toy")
    with pytest.raises(
        UsageError, match="holds no release; make one with `item2vec push RUN s3://bucket/empty`"
    ):
        i2v.load("s3://bucket/empty")
    with pytest.raises(UsageError, match="holds no release"):
        push(RunFolder(folder.path.parent / "none"), URL)
    with monkeypatch.context() as patched:
        patched.delenv("AWS_ACCESS_KEY_ID")
        patched.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(UsageError, match=r"no credentials .*AWS_ACCESS_KEY_ID"):
            push(folder, URL)
    with monkeypatch.context() as patched:
        patched.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        patched.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
        with pytest.raises(RunError, match=r"the store does not answer .*AWS_ENDPOINT_URL"):
            push(folder, URL)
        patched.setenv("AWS_ENDPOINT_URL", "no address")
        with pytest.raises(UsageError, match="AWS_ENDPOINT_URL"):
            push(folder, URL)


def test_refused_credentials_are_told(bucket, folder, log, monkeypatch):
    from botocore.exceptions import ClientError

    run(folder, log)
    store = ObjectStore(URL)
    for code in ("AccessDenied", "SignatureDoesNotMatch"):
        error = ClientError({"Error": {"Code": code}}, "GetObject")
        assert isinstance(store._plain(error, "CURRENT"), UsageError)
        assert "refuses these credentials" in str(store._plain(error, "CURRENT"))
    slow = ClientError({"Error": {"Code": "SlowDown"}}, "GetObject")
    assert "run the same command again" in str(store._plain(slow, "CURRENT"))


def test_without_boto3_it_is_said_what_to_install(folder, log, monkeypatch):
    run(folder, log)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("boto3", "botocore")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "botocore", None)
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'item2vec\[s3\]'"):
        push(folder, URL)


def test_nobody_who_uses_local_files_pays_for_it():
    program = (
        "import sys, item2vec.run, item2vec.artifacts; assert not {'boto3', 'botocore'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_files_outside_the_folder_are_refused(bucket, folder, log, tmp_path):
    """Whoever may write to the bucket may not write elsewhere on the readers' machines."""
    from item2vec.artifacts import StageKey
    from item2vec.artifacts.manifest import canonical_json, digest

    with folder.lock():
        stored = folder.write(StageKey("train", 1), lambda out: (out / "n").write_text("1") and {})
        body = {**stored.manifest, "files": {"../../../evil": {"sha256": digest(b"1"), "bytes": 1}}}
        body["content"] = digest(canonical_json(body["files"]))
        del body["sha256"]
        forged = {**body, "sha256": digest(canonical_json(body))}
        release = publish(folder, {"train": type(stored)(stored.path, forged)})
    place = f"{PREFIX}objects/train/{stored.id}/{forged['sha256']}/"
    for key, content in {
        f"{place}MANIFEST.json": canonical_json(forged),
        f"{place}../../../evil": b"1",
        f"{PREFIX}releases/{release.id}.json": release.sealed,
        f"{PREFIX}CURRENT": f"{release.id}\n".encode(),
    }.items():
        bucket.put_object(Bucket="bucket", Key=key, Body=content)
    with pytest.raises(CorruptArtifactError, match=r"MANIFEST.json is damaged"):
        pull(URL, RunFolder(tmp_path / "a" / "b" / "c"))
    assert not list(tmp_path.rglob("evil"))


def test_a_large_file_goes_in_parts(bucket, tmp_path, sent, monkeypatch):
    path = tmp_path / "large"
    path.write_bytes(np.random.default_rng(1).bytes((64 << 20) + 5))
    from item2vec.artifacts.manifest import describe_file

    store = ObjectStore(URL)
    store.upload("large", path)
    assert "CompleteMultipartUpload" in sent.asked
    assert store.holds("large", describe_file(path))


def test_the_command_line_from_push_to_answers(bucket, tmp_path, monkeypatch):
    """A real run: pushed, loaded from the store like from its folder, pulled, rolled back."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "small.toml"
    file.write_text(
        "[simulate]\nn_users = 120\nn_listings = 60\nn_markets = 2\ndays = 5\n"
        "[train]\nvector_size = 8\nepochs = 1\nworkers = 1\n[index]\nbackend = 'exact'\n"
    )
    result = run_pipeline(RunConfig.from_toml(file, ()), "runs", until="index")
    small = RunFolder(result.folder)
    with small.lock():
        release = publish(small, result.objects)
    url = "s3://bucket/small"
    for arguments, told in (
        (["push", "small", url], f"{url}: release "),
        (["push", "small", url], "is current already; every file of it verified, 0 files written again"),
        (["pull", url, "copy"], f"{Path('runs/copy')}: release {release.id[:12]} of {url}"),
        (["rollback", url, "--to", release.id[:8]], f"{url}: release {release.id[:12]} is cur"),
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        assert told in result.output
    here, there = i2v.load("runs/small"), i2v.load(url)
    assert i2v.load(url, release.id[:9]).vocabulary.ids.equals(here.vocabulary.ids)
    items = here.vocabulary.ids.to_pylist()
    for one, other in zip(here.similar_items(items, N=5), there.similar_items(items, N=5), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not list((tmp_path / "cache").rglob("objects/sessions"))  # what answers do not need stays there
    result = CliRunner().invoke(app, ["push", "small", "s3://nowhere/x"])
    assert result.exit_code == UsageError.exit_code
    assert "there is no bucket 'nowhere'" in result.output
