"""Parts of the explorer without a server: the plane of the map, addresses, the security policy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from explorer_pages import query_of

from item2vec.errors import UsageError
from item2vec.serving.explorer.looks import Journey, Look
from item2vec.serving.explorer.pages import content_policy
from item2vec.serving.explorer.plane import projected
from item2vec.serving.settings import ServeSettings, checked_tiles


def test_the_plane_is_that_of_the_singular_value_decomposition() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((200, 6)) * [5, 3, 1, 0.5, 0.2, 0.1]
    points, share = projected(vectors)
    _, strengths, axes = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    expected = (vectors - vectors.mean(0)) @ axes[:2].T
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-9)
    assert share == pytest.approx((strengths[:2] ** 2).sum() / (strengths**2).sum())
    assert projected(np.ones((3, 1)))[0].tolist() == [[0, 0]] * 3


def test_addresses_stay_short() -> None:
    long = "👩" * 256
    look = Look("x" * 200, "next", [], (long, *(f"i{one}" for one in range(30))))
    assert len(look.to(long)) < 4096
    assert len(look.to("next one")) < 4096
    assert "from=i29" in look.to("one")
    crowded = Look("here", "next", [], (long, "before"))
    assert query_of(crowded.to("next")).get_list("from") == [long, "before", "here"]
    assert query_of(crowded.to(long)).get_list("from") == ["before", "here"]  # the end of what fits
    assert len(Journey((long,) * 5, "next").to("last")) < 4096
    assert Journey((long,) * 5, "next").to("last").endswith("click=last")


def test_tiles_open_the_policy_for_one_host() -> None:
    assert "img-src 'self';" in content_policy(None)
    policy = content_policy("https://tile.example.org/{z}/{x}/{y}.png?k=1")
    assert "img-src 'self' data: https://tile.example.org;" in policy
    bad = """https://{s}.example/{z}/{x}/{y} https://a.b/{z}/{x} https://a.b;/{z}/{x}/{y} //a.b/{z}/{x}/{y}
        javascript:{z}{x}{y} https://a.b/{z}/{x}/{y};script-src* https://a.b/{z}/{x}/{y}'x'"""
    for one in bad.split():
        with pytest.raises(UsageError, match="tiles are the address"):
            checked_tiles(one)
    assert ServeSettings(run=Path(), tiles="https://a.b:80/{z}/{x}/{y}").tiles == "https://a.b:80/{z}/{x}/{y}"
