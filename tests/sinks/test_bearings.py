"""Azimuth, elevation and their rates: against OpenCV's own camera and finite differences."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError
from sink_results import result_of, tracks_at

from configs.schema import OpticsSettings, OutputSettings, RecordSettings, StreamSettings
from streamer.bearings import Optics, optics_of
from streamer.sinks.factory import build_sinks
from streamer.sinks.frames_jsonl import FramesLog
from streamer.types import FloatArray

WIDTH, HEIGHT = 640, 480
MIDDLE = np.array([[(WIDTH - 1) / 2, (HEIGHT - 1) / 2]])
LENS = {"k1": -0.2, "k2": 0.05, "p1": 0.001, "p2": -0.0005}

angles = st.floats(-89, 89)
mountings = st.fixed_dictionaries(
    {
        "azimuth_degrees": st.floats(0, 359.9),
        "elevation_degrees": st.floats(-85, 85),
        "roll_degrees": st.floats(-180, 180),
    }
)
lenses = st.sampled_from([{}, LENS, {"k1": 0.3}])
places = st.tuples(st.floats(-0.5, WIDTH - 0.5), st.floats(-0.5, HEIGHT - 0.5))


def optics(**settings: float) -> Optics:
    given_optics = {} if "fx" in settings else {"hfov_degrees": 40.0}
    return Optics(OpticsSettings.model_validate({**given_optics, **settings}), WIDTH, HEIGHT)


def look(subject: Optics, xy: FloatArray, velocity: FloatArray | None = None) -> list[float]:
    """Azimuth, elevation, their rates and the angular rate of one place."""
    found = subject.bearings(
        np.reshape(xy, (1, 2)),
        np.zeros((1, 2)) if velocity is None else np.reshape(velocity, (1, 2)),
    )
    return [float(column[0]) for column in found.columns().values()]


def direction(azimuth: float, elevation: float) -> FloatArray:
    """East, north, up."""
    a, e = math.radians(azimuth), math.radians(elevation)
    return np.array([math.sin(a) * math.cos(e), math.cos(a) * math.cos(e), math.sin(e)])


def apart(one: float, other: float) -> float:
    """Degrees between two azimuths."""
    return abs((one - other + 180) % 360 - 180)


@given(mountings, lenses)
def test_the_middle_of_the_picture_is_where_the_camera_points(
    mounting: dict[str, float], lens: dict[str, float]
) -> None:
    azimuth, elevation, *_ = look(optics(**mounting, **lens), MIDDLE)
    assert apart(azimuth, mounting["azimuth_degrees"]) < 1e-6
    assert elevation == pytest.approx(mounting["elevation_degrees"], abs=1e-6)


@given(mountings, lenses, places)
def test_opencv_projects_a_bearing_back_to_its_pixel(
    mounting: dict[str, float], lens: dict[str, float], place: tuple[float, float]
) -> None:
    calibrated = {"fx": 800.0, "fy": 790.0, "cx": 325.5, "cy": 236.0}
    subject = optics(**calibrated, **mounting, **lens)
    azimuth, elevation, *_ = look(subject, np.array(place))
    assert 0 <= azimuth <= 360
    assert -90 <= elevation <= 90
    # From the world to the camera by turns about its axes: azimuth, then elevation, then roll.
    a, e, r = (
        math.radians(mounting[f"{name}_degrees"]) for name in ("azimuth", "elevation", "roll")
    )
    level = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # right, down, ahead of one facing north
    about_down = cv2.Rodrigues(np.array([0, -a, 0]))[0]
    about_right = cv2.Rodrigues(np.array([-e, 0, 0]))[0]
    about_ahead = cv2.Rodrigues(np.array([0, 0, -r]))[0]
    turned = about_ahead @ about_right @ about_down @ level
    back, _ = cv2.projectPoints(
        direction(azimuth, elevation)[None],
        cv2.Rodrigues(turned)[0],
        np.zeros(3),
        np.array([[800.0, 0, 325.5], [0, 790.0, 236.0], [0, 0, 1]]),
        np.array([lens.get(name, 0.0) for name in ("k1", "k2", "p1", "p2")]),
    )
    np.testing.assert_allclose(back.ravel(), place, atol=1e-4)


@given(
    mountings,
    lenses,
    places,
    st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_rates_are_the_derivatives_of_bearings(
    mounting: dict[str, float],
    lens: dict[str, float],
    place: tuple[float, float],
    velocity: tuple[float, float],
) -> None:
    subject = optics(**mounting, **lens)
    xy, moving = np.array(place), np.array(velocity)
    _, elevation, *rates = look(subject, xy, moving)
    assume(abs(elevation) < 80)
    step = 1e-5
    before, after = (look(subject, xy + sign * step * moving) for sign in (-1, 1))
    turned = (after[0] - before[0] + 180) % 360 - 180
    along = np.linalg.norm(direction(*after[:2]) - direction(*before[:2]))
    expected = np.array([turned, after[1] - before[1], math.degrees(along)]) / (2 * step)
    np.testing.assert_allclose(rates, expected, rtol=1e-4, atol=1e-3)


@given(mountings.map(lambda m: {**m, "roll_degrees": 0.0}), places, st.floats(1, 20))
def test_right_is_a_larger_azimuth_and_up_a_larger_elevation(
    mounting: dict[str, float], place: tuple[float, float], step: float
) -> None:
    assume(abs(mounting["elevation_degrees"]) < 45)
    subject, xy = optics(**mounting), np.array(place)
    here, right = look(subject, xy, np.array([1.0, 0])), look(subject, xy + np.array([step, 0]))
    above = look(subject, np.array([MIDDLE[0, 0], xy[1] - step]))
    middle = look(subject, np.array([MIDDLE[0, 0], xy[1]]), np.array([0, -1.0]))
    assert (right[0] - here[0]) % 360 < 180
    assert here[2] > 0
    assert above[1] > middle[1]
    assert middle[3] > 0


@pytest.mark.parametrize(
    ("roll", "up"), [(0, (0, -1)), (90, (-1, 0)), (180, (0, 1)), (-90, (1, 0))]
)
def test_a_camera_that_rolls_clockwise_sees_the_sky_turn_the_other_way(
    roll: float, up: tuple[float, float]
) -> None:
    azimuth, elevation, *_ = look(optics(roll_degrees=roll), MIDDLE[0] + 50 * np.array(up))
    assert azimuth == pytest.approx(0, abs=1e-9)
    assert elevation > 3


def test_the_field_of_view_is_from_edge_to_edge_and_pixels_are_square() -> None:
    subject = optics(hfov_degrees=40.0)
    left, right = (look(subject, np.array([x, MIDDLE[0, 1]]))[0] for x in (-0.5, WIDTH - 0.5))
    assert (left, right) == pytest.approx((-20, 20))
    top = look(subject, np.array([MIDDLE[0, 0], -0.5]))[1]
    assert top == pytest.approx(
        math.degrees(math.atan(HEIGHT / WIDTH * math.tan(math.radians(20))))
    )


def test_azimuths_are_from_the_axis_or_from_north_on() -> None:
    left = MIDDLE[0] - (100, 0)
    from_axis, north = look(optics(), left)[0], look(optics(azimuth_degrees=0), left)[0]
    assert -20 < from_axis < 0
    assert north == pytest.approx(360 + from_axis)
    assert look(optics(azimuth_degrees=-90), MIDDLE)[0] == pytest.approx(270)


@pytest.mark.parametrize("elevation", [90, -90])
def test_straight_up_or_down_there_is_no_azimuth_but_an_angular_rate(elevation: float) -> None:
    *_, angular = rates = look(optics(elevation_degrees=elevation), MIDDLE, np.array([10.0, 0]))
    assert rates[1] == pytest.approx(elevation)
    assert np.isnan([rates[0], *rates[2:4]]).all()
    focal = WIDTH / 2 / math.tan(math.radians(20))
    assert angular == pytest.approx(math.degrees(10 / focal))


def test_where_the_distortion_has_no_inverse_there_is_no_bearing() -> None:
    folded = optics(fx=300.0, k1=-0.5)  # nothing is seen farther out than 0.544 of the focal length
    middle = look(folded, MIDDLE, np.ones(2))
    assert np.isfinite(middle).all()
    corner = look(folded, np.array([0.0, 0.0]), np.ones(2))
    assert np.isnan(corner).all()


@pytest.mark.parametrize("lens", [{}, LENS])
def test_no_tracks_have_no_bearings(lens: dict[str, float]) -> None:
    found = optics(**lens).bearings(np.empty((0, 2)), np.empty((0, 2)))
    assert {len(column) for column in found.columns().values()} == {0}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hfov_degrees": 40, "fx": 800}, "hfov_degrees or fx"),
        ({"azimuth_degrees": 0}, "azimuth_degrees"),
        ({"fy": 800}, "fy"),
        ({"k1": -0.1}, "k1"),
        ({"hfov_degrees": 180}, "less than 180"),
        ({"hfov_degrees": 40, "elevation_degrees": 91}, "less than or equal to 90"),
    ],
)
def test_settings_that_say_too_little_or_too_much_are_refused(
    settings: dict[str, float], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        OpticsSettings.model_validate(settings)


def test_logs_and_events_tell_bearings(tmp_path: Path) -> None:
    camera = OpticsSettings(hfov_degrees=10, azimuth_degrees=100)
    output = OutputSettings(record=RecordSettings(enabled=False))
    settings = StreamSettings(camera=camera, output=output)
    result = result_of(0, tracks=tracks_at([(31.5, 23.5), (40, 10)]))
    for sink in build_sinks(tmp_path, settings, source="gate"):
        sink.write(result)
        sink.close()
    tracks = json.loads((tmp_path / "frames.jsonl").read_text())["tracks"]
    assert (tracks[0]["azimuth_degrees"], tracks[0]["elevation_degrees"]) == (100, 0)
    assert tracks[1]["azimuth_degrees"] > 100
    assert tracks[1]["elevation_degrees"] > 0
    # 3 px/s to the right, 4 up; 64 px are 10 degrees.
    rates = [
        tracks[0][f"{name}_degrees_per_second"] for name in ("azimuth", "elevation", "angular")
    ]
    assert rates == pytest.approx(np.array([3, 4, 5]) * 10 / 64, rel=0.01)
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [each["event"] for each in told] == ["confirmed", "confirmed", "lost", "lost"]
    for event in told:
        track = tracks[event["id"] - 1]
        assert {k: v for k, v in event.items() if "degrees" in k} == {
            k: v for k, v in track.items() if "degrees" in k
        }
        assert len([k for k in event if "degrees" in k]) == 5


def test_without_optics_there_are_none(tmp_path: Path) -> None:
    assert optics_of(OpticsSettings(), 64, 48) is None
    log = FramesLog(tmp_path / "frames.jsonl", "tracks")
    log.write(result_of(0, tracks=tracks_at([(5, 5)])))
    log.close()
    assert "degrees" not in (tmp_path / "frames.jsonl").read_text()
