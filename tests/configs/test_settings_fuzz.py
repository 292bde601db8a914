"""A thousand settings files and overrides that somebody may give: each is valid, or refused in
lines that help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.load import SettingsError, load_settings, preset_names, setting_keys
from configs.schema import StreamSettings

KEYS = sorted(setting_keys())
GROUPS = sorted(
    {".".join(key.split(".")[:k]) for key in KEYS for k in range(1, key.count(".") + 1)}
)
TEXT = st.text(max_size=8) | st.sampled_from(
    [
        "\n",
        "\x1b[2J",
        "\ud800",
        "auto",
        "off",
        "1e400",
        ".nan",
        "-.inf",
        "=",
        "a: b",
        "[",
        "!!python/none",
    ]
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.integers(-3, 3) | st.floats() | st.dates() | TEXT
)
ANY = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def dumped(value: object, *, flow: bool | None = None) -> str:
    try:
        text: str = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True)
    except UnicodeEncodeError:
        return repr(value)
    return text


def default_of(key: str) -> object:
    """What a setting is where nobody says anything."""
    value: Any = StreamSettings().model_dump(mode="json")
    for part in key.split("."):
        value = value[part]
    return value


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    """Some settings, or nearly: keys that are there, keys that are not, groups that are values."""
    tree: dict[str, Any] = {}
    for _ in range(draw(st.integers(0, 4))):
        key = draw(st.sampled_from(KEYS) | st.sampled_from(GROUPS) | TEXT)
        *groups, leaf = key.split(".")
        inner = tree
        for group in groups:
            below = inner.setdefault(group, {})
            inner = below if isinstance(below, dict) else {}
        inner[draw(st.sampled_from([leaf, leaf, leaf, leaf + "s", leaf.upper()]))] = draw(ANY)
    return tree


PRESETS = [Path(__file__).parents[2] / "configs" / f"{name}.yaml" for name in preset_names()]


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A settings file: values of any kind, a preset that was damaged, or anything at all."""
    kind = draw(st.sampled_from(["tree", "tree", "damaged", "text", "bytes"]))
    if kind == "tree":
        return dumped(draw(trees())).encode("utf-8", "surrogatepass")
    if kind == "text":
        return draw(st.text(max_size=100)).encode("utf-8", "surrogatepass")
    if kind == "bytes":
        return draw(st.binary(max_size=100))
    content = bytearray(draw(st.sampled_from(PRESETS)).read_bytes())
    for _ in range(draw(st.integers(1, 5))):
        if content:
            at = draw(st.integers(0, len(content) - 1))
            content[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(content)


@st.composite
def overrides(draw: st.DrawFn) -> str:
    """What may follow --set."""
    key = draw(st.sampled_from(KEYS) | st.sampled_from(KEYS) | st.sampled_from(GROUPS) | TEXT)
    if key in KEYS and draw(st.booleans()):
        return f"{key}={dumped(default_of(key), flow=True)}"
    value = draw(ANY.map(lambda each: dumped(each, flow=True)) | TEXT)
    return draw(st.sampled_from([f"{key}={value}"] * 6 + [f"{key}{value}", value]))


def check(config: Path | None, given_overrides: list[str]) -> bool:
    """Whether the settings are taken; they are valid, or refused line by line."""
    try:
        taken = load_settings(config, given_overrides)
    except SettingsError as error:
        lines = str(error).split("\n")
        assert len(set(lines)) == len(lines)
        for line in lines:
            assert 10 < len(line) < 2000, line
            assert line.isprintable(), ascii(line)
        return False
    # What was taken is valid as it is written down, in summary.json say.
    assert StreamSettings.model_validate(taken.model_dump(mode="json")) == taken
    return True


def fuzz(folder: Path, cases: int) -> tuple[int, int]:
    """How many were taken, and how many refused."""
    counts = [0, 0]
    path = folder / "fuzzed.yaml"

    @settings(max_examples=cases, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.none() | files(), st.lists(overrides(), max_size=3))
    def one(content: bytes | None, given_overrides: list[str]) -> None:
        if content is not None:
            path.write_bytes(content)
        counts[not check(None if content is None else path, given_overrides)] += 1

    one()
    return counts[0], counts[1]


def test_any_settings_are_valid_or_refused_in_lines_that_help(tmp_path: Path) -> None:
    taken, refused = fuzz(tmp_path, 1000)
    assert taken > 20
    assert refused > 300


@pytest.mark.parametrize("key", KEYS)
def test_no_setting_takes_what_is_no_setting_at_all(key: str) -> None:
    """A mapping with a key that nobody knows is no value of anything."""
    with pytest.raises(SettingsError) as caught:
        load_settings(None, [f"{key}={{nobody knows: 1}}"])
    assert key in str(caught.value)
