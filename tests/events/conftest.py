"""A fixture that writes small logs in every format."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from event_logs import csv_text, jsonl_text, write_parquet


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write rows or text to a file of the format that its name tells."""

    def write_file(name: str, content: Sequence[dict[str, Any]] | str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            assert not isinstance(content, str | bytes)
            return write_parquet(path, content)
        if not isinstance(content, str | bytes):
            content = (
                jsonl_text(content) if "jsonl" in name else csv_text(content, "\t" if "tsv" in name else ",")
            )
        data = content.encode() if isinstance(content, str) else content
        if name.endswith(".gz"):
            data = gzip.compress(data)
        if name.endswith(".zst"):
            data = pa.compress(data, codec="zstd", asbytes=True)
        path.write_bytes(data)
        return path

    return write_file
