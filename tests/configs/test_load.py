"""Settings are read whole or refused in words that help."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from configs.load import SettingsError, load_settings, override, preset_names, setting_keys
from configs.schema import StreamSettings


def refused(config: Path | str | None, *overrides: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(config, overrides)
    return str(caught.value)


def test_nothing_given_means_the_defaults() -> None:
    assert load_settings(None) == StreamSettings()


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_name_survives_as_an_override(name: str) -> None:
    given_so = override("detector.weights", name)
    assert "\n" not in given_so
    assert load_settings(None, [given_so]).detector.weights == name


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (5, "5"), (0.25, "0.25")])
def test_numbers_and_switches_are_overrides_without_quotes(value: float, text: str) -> None:
    assert override("a.b", value) == f"a.b={text}"


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads(name: str) -> None:
    load_settings(name)


def test_overrides_go_on_top_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("detector:\n  threshold: 0.6\n  min_area_px: 3\n")
    settings = load_settings(file, ["detector.threshold=0.7", "source.live_queue=5"])
    assert settings.detector.threshold == 0.7
    assert settings.detector.min_area_px == 3
    assert settings.source.live_queue == 5


@pytest.mark.parametrize("word", ["on", "off", "auto"])
def test_on_and_off_are_words_though_yaml_takes_them_for_truth_values(
    word: str, tmp_path: Path
) -> None:
    assert load_settings(None, [f"logs.dashboard={word}"]).logs.dashboard == word
    (tmp_path / "mine.yaml").write_text(f"logs: {{dashboard: {word}}}\n")
    assert load_settings(tmp_path / "mine.yaml", []).logs.dashboard == word


def test_lists_can_be_set() -> None:
    settings = load_settings(None, ["source.exclude.rectangles=[[0, 0, 50, 12]]"])
    assert settings.source.exclude.rectangles == ((0, 0, 50, 12),)


def test_an_unknown_key_names_the_nearest() -> None:
    assert refused(None, "detector.treshold=0.5") == (
        "unknown setting detector.treshold; did you mean detector.threshold?"
    )


def test_a_key_of_another_group_is_found() -> None:
    assert "tracker.coast_seconds" in refused(None, "detector.coast_seconds=1")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("detector.threshold=2", ("detector.threshold=2", "less than 1")),
        ("source.rtsp.transport=ftp", ("source.rtsp.transport='ftp'", "'tcp'", "'udp'")),
        ("source.live_queue=many", ("source.live_queue='many'", "integer")),
        ("tracker.confirm_hits=9", ("confirm_hits 9", "confirm_window 6")),
        ("source.exclude.rectangles=[[9, 0, 1, 5]]", ("[left, top, right, bottom]",)),
        ("detector", ("such as --set detector.threshold=0.6",)),
        ("detector..x=1", ("such as --set detector.threshold=0.6",)),
        ("output.record=false", ("output.record=False", "a group of settings", "enabled, codec")),
        ("output.events.command=ls", ("output.events.command='ls'", "a list")),
        ("detector.threshold=[", ("not YAML",)),
        ("detector.threshold=.nan", ("detector.threshold",)),
    ],
)
def test_a_bad_value_says_what_is_allowed(override: str, words: tuple[str, ...]) -> None:
    message = refused(None, override)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("record", "output.record"),
        ("detectr.threshold", "detector"),
        ("source.rtps.transport", "source.rtsp"),
        ("source.rtsp.password", None),
        ("source.password", None),
    ],
)
def test_the_nearest_key_is_near_in_its_last_part(key: str, meant: str | None) -> None:
    said = refused(None, f"{key}=1").partition("; did you mean ")[2]
    assert said == ("" if meant is None else f"{meant}?")


def test_a_value_that_is_cut_short_shows_no_part_of_a_password() -> None:
    # Cut before its last "@", an address could not be told from its password any more.
    message = refused(None, f"source.fps=rtsp://admin:p@Zq7{50 * 'x'}@camera")
    assert "Zq7" not in message


def test_what_a_file_says_breaks_no_line_and_steers_no_terminal(tmp_path: Path) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text('"detector\\n\\e[2J": 1\n')
    assert refused(file) == r"unknown setting detector\n\x1b[2J; did you mean detector?"


def test_every_problem_is_said_at_once() -> None:
    assert len(refused(None, "detector.threshold=2", "source.fps=-1").splitlines()) == 2


def test_a_missing_file_and_an_unknown_preset() -> None:
    assert "No such file" in refused("nowhere.yaml")
    assert "did you mean rtsp?" in refused("rstp")


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text("detector:\n  threshold: 0.6\n  threshold: 0.7\n")
    assert "'threshold' stands twice" in refused(file)


def test_keys_reach_every_leaf() -> None:
    keys = set(setting_keys())
    assert {"source.rtsp.transport", "output.record.crf", "run.max_frames"} <= keys


@given(st.binary(max_size=200))
def test_any_bytes_are_settings_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    file.write_bytes(content)
    try:
        load_settings(file)
    except SettingsError as error:
        assert str(error)


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)


@given(
    st.sampled_from(sorted(setting_keys())),
    st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
)
def test_any_value_is_taken_or_refused(key: str, value: object) -> None:
    try:
        load_settings(None, [f"{key}={yaml.safe_dump(value, default_flow_style=True)}"])
    except SettingsError as error:
        assert str(error)
