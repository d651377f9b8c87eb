"""The page that documents the event table says what the code does."""

from __future__ import annotations

import tomllib
from pathlib import Path

from bad_input.table import table

from item2vec.events import EVENT_TYPES, EventsConfig, event_schema
from item2vec.events.reasons import REASONS

PAGE = (Path(__file__).resolve().parents[2] / "data" / "README.md").read_text("utf-8")


def test_every_column_type_and_reason_is_on_the_page() -> None:
    assert not [name for name in event_schema("string").names if f"`{name}`" not in PAGE]
    assert not [name for name in EVENT_TYPES if f"`{name}`" not in PAGE]
    assert not [reason for reason in REASONS if reason not in PAGE]


def test_the_example_mapping_is_a_valid_config() -> None:
    config = EventsConfig(**tomllib.loads(PAGE.split("```toml")[1].split("```")[0])["events"])
    assert config.columns["event_id"] == ("visitor", "visit", "hit")
    assert config.items is not None


def test_the_table_of_bad_input_is_that_of_the_cases() -> None:
    shown = [line for line in PAGE.split("## Bad input")[1].splitlines() if line.startswith("|")]
    assert shown == list(table())
