"""Fixtures shared by every test folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the public logs; tests that need it are skipped, saying so, when it is missing."""
    path = Path(os.environ.get("ITEM2VEC_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"the public logs are not at {path}; set ITEM2VEC_REAL_DATA to their folder")
    return path
