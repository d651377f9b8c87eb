"""A run file is checked whole before anything starts, and its errors say what to write instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

import item2vec as i2v
from item2vec import Item2Vec
from item2vec.config import NOT_HASHED, RunConfig, section_models, simulation_config
from item2vec.errors import ConfigError
from item2vec.marketplace import simulate

MINIMAL = '[events]\npath = "log.csv"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "shop.toml"
    path.write_text(text)
    return path


def test_an_almost_empty_file_gets_all_the_defaults(tmp_path: Path) -> None:
    config = RunConfig.from_toml(write(tmp_path, MINIMAL))
    assert config.name == "shop"
    assert config.simulate is None
    assert config.events.path == ("log.csv",)
    assert config.sessions.gap_minutes == 30
    assert config.train == {**Item2Vec().get_params(), "checkpoint_every": 1}


def test_every_section_is_read(tmp_path: Path) -> None:
    text = """
        [run]
        name = "spring"
        [simulate]
        n_users = 10
        start_date = 2025-03-01
        [sessions]
        gap_minutes = 20
        [train]
        window = "session"
        epochs = 3
        [index]
        n_trees = 7
        [evaluate]
        k = 10
    """
    config = RunConfig.from_toml(write(tmp_path, text))
    assert config.name == "spring"
    assert config.simulate is not None
    assert config.simulate.n_users == 10
    assert config.sessions.gap_minutes == 20
    assert (config.train["window"], config.train["epochs"]) == ("session", 3)
    assert config.index.n_trees == 7
    assert config.evaluate.k == 10
    assert config.stage_config("simulate")["start_date"] == "2025-03-01"


def test_the_train_keys_are_the_estimator_s_and_how_often_it_is_saved() -> None:
    names = {*inspect.signature(Item2Vec).parameters, "checkpoint_every"}
    assert set(section_models()["train"].model_fields) == names
    hashed = RunConfig.from_sections({"run": {"name": "a"}, "events": {"path": "x"}}).stage_config("train")
    assert set(hashed) == names - set(NOT_HASHED)


def test_overrides_replace_and_add(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL + "[train]\nepochs = 5\n")
    config = RunConfig.from_toml(
        path,
        [
            "train.epochs=3",
            "run.name=other-name",
            "train.alpha = 0.1",
            "train.shrink_windows=false",
            'events.columns.item_id="hotel"',
            "events.path=a=b.csv",
        ],
    )
    assert config.train["epochs"] == 3
    assert config.train["alpha"] == 0.1
    assert config.train["shrink_windows"] is False
    assert config.name == "other-name"
    assert config.events.columns == {"item_id": "hotel"}
    assert config.events.path == ("a=b.csv",)


BAD_FILES = {
    "toml": ("[run\n", r"shop\.toml is not valid TOML: .*line 1"),
    "outside": ("epochs = 3\n" + MINIMAL, "'epochs' stands outside every section"),
    "section": (MINIMAL + "[trian]\n", r"unknown section \[trian\] \(did you mean 'train'\?\)"),
    "section far": (MINIMAL + "[zzz]\n", r"unknown section \[zzz\]; known are run, simulate, events"),
    "key": (
        MINIMAL + "[train]\nepoch = 3\n",
        r"unknown key 'epoch' in \[train\] \(did you mean 'epochs'\?\)",
    ),
    "elsewhere": (
        MINIMAL + "[index]\nepochs = 3\n",
        r"unknown key 'epochs' in \[index\] \(it belongs to \[train\]",
    ),
    "nested": (
        MINIMAL + "[events.items]\npth = 'x'\n",
        r"unknown key 'pth' in \[events\.items\] \(did you mean 'path'\?\); known are path, format",
    ),
    "long": (MINIMAL + f"[index]\nn_trees = '{'9x' * 300}'\n", r"n_trees must be an integer, not '(9x)+…"),
    "type": (
        MINIMAL + "[train]\nepochs = 'three'\n",
        r"train\.epochs must be an integer, not 'three'$",
    ),
    "bool": (MINIMAL + "[train]\nepochs = true\n", r"train\.epochs must be an integer, not True"),
    "train range": (MINIMAL + "[train]\nalpha = 0\n", r"train\.alpha is 0.*must be a number above 0"),
    "train word": (MINIMAL + "[train]\nwindow = 'sesion'\n", r"train\.window is 'sesion'"),
    "range": (MINIMAL + "[index]\nn_trees = 0\n", r"index\.n_trees must be at least 1, not 0"),
    "cut": (
        MINIMAL + "[evaluate]\ntest_from = 'next week'\n",
        r"evaluate\.test_from: cannot read 'next week' as a time; write it like",
    ),
    "cut of no year": (
        MINIMAL + "[evaluate]\nvalidation_from = 999999999999999999\n",
        "is no time between",
    ),
    "cuts": (
        MINIMAL + "[evaluate]\nvalidation_from = 2025-02-22\ntest_from = '2025-02-15'\n",
        r"evaluate: validation_from \(2025-02-22\) lies after test_from \(2025-02-15\)",
    ),
    "one cut twice": (
        MINIMAL + "[evaluate]\nvalidation_from = 2025-02-22\ntest_from = '2025-02-22T00:00:00'\n",
        "are the same time .* leaves no validation session",
    ),
    "bands": (MINIMAL + "[evaluate]\nprice_bands = [60, 30]\n", r"price_bands: .*60.*30.*give ascending"),
    "band twice": (MINIMAL + "[evaluate]\nprice_bands = [30, 30]\n", "give ascending upper limits above 0"),
    "free band": (MINIMAL + "[evaluate]\nprice_bands = [0, 30]\n", "give ascending upper limits above 0"),
    "no band": (MINIMAL + "[evaluate]\nprice_bands = []\n", "give ascending upper limits above 0"),
    "endless band": (
        MINIMAL + "[evaluate]\nprice_bands = [30, inf]\n",
        "give ascending upper limits above 0",
    ),
    "nan band": (MINIMAL + "[evaluate]\nprice_bands = [nan]\n", "give ascending upper limits above 0"),
    "name": (
        MINIMAL + "[run]\nname = '../up'\n",
        r"run\.name: '\.\./up' cannot name a run's folder: use letters.* digits.*--set run\.name=",
    ),
    "name type": (MINIMAL + "[run]\nname = 5\n", r"run\.name must be text, not 5"),
    "run type": ("run = 5\n" + MINIMAL, "'run' stands outside every section"),
    "prefix": (
        MINIMAL + "[sessions]\ngap = 30\n",
        r"unknown key 'gap' in \[sessions\] \(did you mean 'gap_minutes'\?\); known are kind",
    ),
    "word": (MINIMAL + "[index]\ntrees = 30\n", r"'trees' in \[index\] \(did you mean 'n_trees'\?\)"),
    "union": (
        MINIMAL + "[evaluate]\nprice_bands = 'thirds'\n",
        r"evaluate\.price_bands must be a list or 'quintiles', not 'thirds'$",
    ),
    "bool word": (
        "[simulate]\ntaste = 'often'\n",
        r"simulate\.taste must be true or false, not 'often'",
    ),
    "no log": ("[train]\nepochs = 3\n", r"no log: set events\.path"),
    "two logs": (MINIMAL + "[simulate]\n", r"two logs: \[simulate\] and events\.path"),
    "model rule": ("[simulate]\nn_listings = 5\nn_markets = 9\n", r"simulate: .*n_listings=5 is too few"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_explained(tmp_path: Path, case: str) -> None:
    text, message = BAD_FILES[case]
    with pytest.raises(ConfigError, match=message) as caught:
        RunConfig.from_toml(write(tmp_path, text))
    assert "shop.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


EVERYTHING_WRONG = """
[run]
name = "a b"
[trian]
[sessions]
gap = 30
min_len = 3
[train]
epoch = 3
alpha = 0
negative = 0
vector_size = "big"
[index]
n_trees = 0
"""


def test_everything_wrong_is_named_at_once_one_line_each(tmp_path: Path) -> None:
    """Over all sections and overrides, so that one start is enough to mend a file."""
    path = write(tmp_path, EVERYTHING_WRONG)
    overrides = ["epochs=3", "train.alpha.x=1", "recommend.M=3", "evaluate.k=0"]
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_toml(path, overrides)
    head, *lines = str(caught.value).splitlines()
    assert head == f"{path} has {len(lines)} problems:"
    expected = (
        "--set 'epochs=3' is not section.key=value",
        "'alpha' is a value, not a section",
        "unknown section [trian] (did you mean 'train'?); known are run, simulate",
        "run.name: 'a b' cannot name",
        "no log: set events.path",
        "train.vector_size must be an integer, not 'big'",
        "unknown key 'epoch' in [train] (did you mean 'epochs'?); known are vector_size",
        "train.alpha is 0.0; it must be",
        "train.negative is 0; it must be",
        "unknown key 'gap' in [sessions] (did you mean 'gap_minutes'?)",
        "unknown key 'min_len' in [sessions] (did you mean 'min_length'?); known are kind",
        "index.n_trees must be at least 1, not 0",
        "unknown key 'M' in [recommend]; known are N",
        "evaluate.k must be at least 1, not 0",
    )
    for problem in expected:
        assert sum(problem in line for line in lines) == 1, problem
    assert len(lines) == len(expected)
    assert (
        sum("known are" in line for line in lines) == 4
    )  # the sections, and once for each of three sections


@pytest.mark.parametrize(
    "cuts",
    [
        {"validation_from": "2025-02-15", "test_from": "2025-02-22T12:00:00+02:00"},
        {"validation_from": 1_739_577_600_000_000, "test_from": "2025-02-22"},
        {"test_from": "2025-02-22"},
    ],
)
def test_cuts_in_their_order_are_taken_as_they_are(cuts: dict[str, object]) -> None:
    sections = {"run": {"name": "a"}, "events": {"path": "x"}, "evaluate": cuts}
    options = RunConfig.from_sections(sections).evaluate.split_options()
    assert {key: options[key] for key in cuts} == cuts


CALLS: dict[str, tuple[Callable[..., object], str]] = {
    "read_events": (i2v.read_events, "memory_limit"),
    "sessionize": (i2v.sessionize, "memory_limit"),
    "simulate": (simulate, "n_users"),
}


@pytest.mark.parametrize("name", CALLS)
def test_functions_explain_their_settings_as_run_files_do(name: str) -> None:
    function, key = CALLS[name]
    with pytest.raises(ConfigError, match=rf"^{name}: {key} must be (text|an integer), not \['lots'\]"):
        function("nowhere", **{key: ["lots"]})


def test_an_unknown_keyword_gets_the_nearest_known_ones() -> None:
    wanted = (
        r"^simulate has 2 problems:\n  days must be at least 1, not 0\n"
        r"  unknown key 'n_user' \(did you mean 'n_users'\?\); known are seed, n_users"
    )
    with pytest.raises(ConfigError, match=wanted):
        simulate("no_folder", n_user=3, days=0)


def test_a_missing_or_binary_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file.*pipelines/"):
        RunConfig.from_toml(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"binary\.toml is not UTF-8"):
        RunConfig.from_toml(tmp_path / "binary.toml")
    with pytest.raises(ConfigError, match="cannot read"):
        RunConfig.from_toml(tmp_path)


@pytest.mark.parametrize("override", ["", "epochs", "epochs=3", "train.=3", ".epochs=3", "train..x=3"])
def test_a_malformed_override_is_explained(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=r"not section\.key=value"):
        RunConfig.from_toml(write(tmp_path, MINIMAL), [override])


def test_an_override_below_a_value_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'path' is a value, not a section"):
        RunConfig.from_toml(write(tmp_path, MINIMAL), ["events.path.x=1"])


def test_how_it_is_computed_does_not_enter_the_hash_but_what_does(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    plain = RunConfig.from_toml(path).stage_config("train")
    assert RunConfig.from_toml(path, ["train.workers=1"]).stage_config("train") == plain
    assert RunConfig.from_toml(path, ["train.seed=2"]).stage_config("train") != plain


def test_settings_of_a_simulation_alone() -> None:
    assert simulation_config(["simulate.n_users=3", "simulate.taste=false"]).n_users == 3
    with pytest.raises(ConfigError, match="train"):
        simulation_config(["train.epochs=3"])
    with pytest.raises(ConfigError, match=r"simulate\.n_users must be at least 1, not 0"):
        simulation_config(["simulate.n_users=0"])
    with pytest.raises(ConfigError, match=r"(?s)3 problems:.*'days=3'.*--set train.*n_users"):
        simulation_config(["simulate.n_users=0", "train.epochs=3", "days=3"])


def test_a_byte_order_mark_before_the_first_line_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_text('[events]\npath = "log.csv"\n', "utf-8-sig")
    assert RunConfig.from_toml(path).events.path == ("log.csv",)
