"""S3-compatible storage: one prefix of a bucket, read and written through boto3, with conditional puts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from item2vec.errors import CorruptArtifactError, Item2VecError, MissingDependencyError, RunError, UsageError

SCHEME = "s3://"
_CHUNK = 1 << 20
_ADDRESS = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/+(.*?))?/*")  # Amazon's rule for buckets
_MISSING = {"NoSuchKey", "404", "NotFound"}
_REFUSED = {"PreconditionFailed", "ConditionalRequestConflict", "412"}
_DENIED = {
    "AccessDenied",
    "403",
    "Forbidden",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
}
_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"


class Found(NamedTuple):
    """A small object: its bytes, the tag that a conditional put names, and what was noted beside it."""

    body: bytes
    tag: str
    notes: Mapping[str, str]


class ObjectStore:
    """What lies below ``s3://bucket/prefix``.

    Credentials, region and address are boto3's own: ``AWS_PROFILE`` or ``AWS_ACCESS_KEY_ID`` and
    ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``, and ``AWS_ENDPOINT_URL`` for a store that is not Amazon's.

    Parameters
    ----------
    url : str
        ``s3://bucket/prefix``; the constructor asks nobody.

    Raises
    ------
    UsageError
        If `url` has another form.
    """

    def __init__(self, url: str) -> None:
        found = _ADDRESS.fullmatch(url)
        if found is None or any(part in ("", ".", "..") for part in (found[2] or "-").split("/")):
            raise UsageError(f"{url!r} does not name a place for a run; write s3://BUCKET/PREFIX")
        self.bucket, prefix = found[1], found[2]
        self._prefix = f"{prefix}/" if prefix else ""

    @property
    def url(self) -> str:
        """The prefix, without a slash at its end."""
        return self.address("").rstrip("/")

    def address(self, key: str) -> str:
        """Return how messages name an object."""
        return f"{SCHEME}{self.bucket}/{self._prefix}{key}"

    @cached_property
    def client(self) -> Any:
        """boto3's client.

        Raises
        ------
        MissingDependencyError
            If boto3 is not installed.
        """
        with self._plain_errors(""):
            import boto3
            from botocore.config import Config

            config = Config(retries={"mode": "standard", "max_attempts": 4}, connect_timeout=10)
            try:
                return boto3.session.Session().client("s3", config=config)
            except ValueError as error:
                raise UsageError(f"{self.url}: {error}; check AWS_ENDPOINT_URL and AWS_REGION") from error

    def get(self, key: str) -> Found | None:
        """Read a small object; None if there is none."""
        with self._plain_errors(key):
            client = self.client
            try:
                answer = client.get_object(**self._place(key))
                return Found(answer["Body"].read(), str(answer["ETag"]), answer.get("Metadata", {}))
            except client.exceptions.ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise

    def put(self, key: str, body: bytes, *, over: str | None, notes: Mapping[str, str] | None = None) -> bool:
        """Write a small object on one condition, which the store checks and keeps in one step.

        Parameters
        ----------
        key, body
            Its name and content.
        over : str or None
            The tag of what it may replace; None if there must be nothing.
        notes : mapping of str to str, optional
            Kept beside the content; names in lower case.

        Returns
        -------
        bool
            False if the store found something else there; nothing was written then.
        """
        condition = {"IfNoneMatch": "*"} if over is None else {"IfMatch": over}
        with self._plain_errors(key):
            client = self.client
            try:
                client.put_object(**self._place(key), Body=body, Metadata=dict(notes or {}), **condition)
            except client.exceptions.ClientError as error:
                if _code(error) in _REFUSED or (over is not None and _code(error) in _MISSING):
                    return False
                raise
        return True

    def upload(self, key: str, path: Path) -> None:
        """Write a file of any size, in several parts if it is large."""
        with self._plain_errors(key), open(path, "rb") as file:
            from boto3.s3.transfer import TransferConfig

            one_by_one = TransferConfig(use_threads=False, multipart_threshold=64 << 20)
            self.client.upload_fileobj(file, self.bucket, self._prefix + key, Config=one_by_one)

    def download(self, key: str, path: Path, wanted: Mapping[str, Any]) -> None:
        """Write an object into a new file and compare it with its ``{"sha256", "bytes"}``.

        Raises
        ------
        CorruptArtifactError
            If it is missing or another one.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            found = self._read(key, file.write)
        if found != wanted:
            raise CorruptArtifactError(f"{self.address(key)} {self.damage(found)}")

    def holds(self, key: str, wanted: Mapping[str, Any]) -> bool:
        """Read an object back and tell whether it has the stated ``{"sha256", "bytes"}``."""
        with self._plain_errors(key):
            client = self.client
            try:
                size = client.head_object(**self._place(key))["ContentLength"]
            except client.exceptions.ClientError as error:
                if _code(error) not in _MISSING:
                    raise
                return False
        return size == wanted["bytes"] and self._read(key, lambda _chunk: None) == wanted

    def damage(self, found: Mapping[str, Any] | None) -> str:
        """Say what is wrong with an object that does not match, and what mends it."""
        what = "is missing" if found is None else "is damaged: its sha256 does not match its manifest"
        return f"{what}; mend it by `item2vec push RUN {self.url}` from where the run is whole"

    def names(self, folder: str) -> list[tuple[str, datetime]]:
        """List the objects of a folder and when they were written, the newest first."""
        with self._plain_errors(folder):
            place = {"Bucket": self.bucket, "Prefix": f"{self._prefix}{folder}/"}
            pages = self.client.get_paginator("list_objects_v2").paginate(**place)
            found = [one for page in pages for one in page.get("Contents", ())]
        times = [(one["Key"].removeprefix(place["Prefix"]), one["LastModified"]) for one in found]
        return sorted(times, key=lambda one: one[1], reverse=True)

    def _read(self, key: str, use: Any) -> dict[str, Any] | None:
        """Pass an object on in pieces and describe it; None if there is none."""
        digest, size = hashlib.sha256(), 0
        with self._plain_errors(key):
            client = self.client
            try:
                for chunk in client.get_object(**self._place(key))["Body"].iter_chunks(_CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
                    use(chunk)
            except client.exceptions.ClientError as error:
                if _code(error) not in _MISSING:
                    raise
                return None
        return {"sha256": digest.hexdigest(), "bytes": size}

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self._prefix + key}

    @contextmanager
    def _plain_errors(self, key: str) -> Iterator[None]:
        try:
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError as error:
            raise MissingDependencyError(f"{self.url} needs boto3: pip install 'item2vec[s3]'") from error
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise self._plain(error, key) from error

    def _plain(self, error: Any, key: str) -> Item2VecError:
        from botocore import exceptions as known

        code, where = _code(error), self.address(key)
        if code == "NoSuchBucket":
            return UsageError(
                f"there is no bucket {self.bucket!r} for {self.url}; create it, or correct the name"
            )
        if code in _DENIED:
            return UsageError(f"{where}: the store refuses these credentials ({code}); check {_KEYS}")
        if isinstance(
            error, known.NoCredentialsError | known.PartialCredentialsError | known.ProfileNotFound
        ):
            return UsageError(f"{where}: no credentials ({error}); set {_KEYS}")
        if isinstance(error, known.EndpointConnectionError | known.ConnectTimeoutError):
            return RunError(
                f"{where}: the store does not answer ({error}); check AWS_ENDPOINT_URL and the network"
            )
        if code or isinstance(error, known.HTTPClientError | known.IncompleteReadError):
            return RunError(f"{where}: {error}; nothing is published half: run the same command again")
        return UsageError(f"{where}: {error}; check the AWS settings (AWS_REGION, AWS_ENDPOINT_URL)")


def _code(error: Any) -> str:
    """Return the store's own name of an error, empty if the store did not answer."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
