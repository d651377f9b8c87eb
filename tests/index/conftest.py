"""Fixtures of the index tests."""

from __future__ import annotations

import pytest
from index_referee import make_vectors


@pytest.fixture(scope="session")
def vectors():
    return make_vectors()


@pytest.fixture(scope="session")
def make():
    return make_vectors
