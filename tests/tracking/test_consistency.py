"""NEES of estimates whose errors are known, and the estimates of a run's ``frames.jsonl``."""

import json
from pathlib import Path

import numpy as np
import pytest
from track_tables import boxes, table

from streamer.types import StreamError
from tracking.estimates import Estimates, read_estimates
from tracking.metrics import ConsistencyTally, measure_consistency
from tracking.mot import MotTable


def estimates(*lines: tuple[int, int, float, float], variance: float = 1.0) -> Estimates:
    """Lines of (frame, id, x, y), all with the same covariance."""
    values = np.array(lines, dtype=np.float64).reshape(len(lines), 4)
    return Estimates(
        frame=values[:, 0].astype(np.int64),
        track_id=values[:, 1].astype(np.int64),
        xy=values[:, 2:],
        position_cov=np.tile(variance * np.eye(2), (len(lines), 1, 1)),
    )


def test_nees_by_hand() -> None:
    truth = table((1, 1, 50, 50), (2, 1, 50, 50), (3, 1, 50, 50))
    found = estimates((1, 7, 51, 50), (2, 7, 50, 54), (3, 7, 56, 50), variance=2.0)
    tally = measure_consistency(truth, found)  # 6 px off is another object
    assert (tally.pairs, tally.within_95) == (2, 1)
    assert tally.figures().nees == pytest.approx((1 / 2 + 16 / 2) / 2)
    assert measure_consistency(truth, found, 7.0).pairs == 3


def test_the_axes_of_a_covariance_count() -> None:
    cov = np.array([[[4.0, 1.0], [1.0, 1.0]]])
    found = Estimates(np.array([1]), np.array([7]), np.array([[52.0, 50.0]]), cov)
    assert measure_consistency(table((1, 1, 50, 50)), found).nees == pytest.approx(4 / 3)


def test_what_cannot_be_inverted_or_is_unknown_does_not_count() -> None:
    found = estimates((1, 7, 50, 50), (1, 8, 60, 50), (1, 9, 70, 50))
    found.position_cov[0] = np.nan
    found.position_cov[1] = 0.0
    truth = table((1, 1, 50, 50), (1, 2, 60, 50), (1, 3, 70, 50))
    assert measure_consistency(truth, found).pairs == 1


@pytest.mark.parametrize("promise", [0.5, 1.0, 2.0])
def test_errors_as_large_as_promised_have_a_nees_of_two(promise: float) -> None:
    rng = np.random.default_rng(3)
    frame, place = np.arange(1, 4001), np.full((4000, 2), 50.0)
    cov = np.array([[0.5, 0.2], [0.2, 0.3]])
    error = rng.multivariate_normal((0, 0), cov, 4000)
    found = Estimates(
        frame, np.ones(4000, np.int64), place + error, np.tile(promise * cov, (4000, 1, 1))
    )
    figures = measure_consistency(boxes(frame, np.ones(4000), place), found).figures()
    assert figures.nees == pytest.approx(2 / promise, rel=0.05)
    if promise == 1:
        assert figures.within_95 == pytest.approx(0.95, abs=0.012)


def test_nothing_is_undefined() -> None:
    for truth in (MotTable.empty(), table((1, 1, 50, 50))):
        tally = measure_consistency(truth, Estimates.empty())
        assert tally == ConsistencyTally()
        assert (tally.figures().nees, tally.figures().within_95) == (None, None)


# -- frames.jsonl ------------------------------------------------------------------------------


def track(state: str = "confirmed", **changes: object) -> dict[str, object]:
    line = {"id": 4, "state": state, "xy": [3.5, 9.0], "position_cov": [[1.0, 0.1], [0.1, 2.0]]}
    return {**line, **changes}


def written(folder: Path, *records: object) -> Path:
    path = folder / "frames.jsonl"
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def test_confirmed_and_coasting_tracks_are_read(tmp_path: Path) -> None:
    first = {"index": 0, "tracks": [track(), track("tentative", id=5), track("coasting", id=6)]}
    hidden = track(position_cov=[[None, 0.0], [0.0, 1.0]])
    found = read_estimates(written(tmp_path, first, {"index": 3, "tracks": [hidden]}))
    assert found.frame.tolist() == [1, 1, 4]
    assert found.track_id.tolist() == [4, 6, 4]
    assert found.xy[0].tolist() == [3.5, 9]
    assert found.position_cov[1].tolist() == [[1, 0.1], [0.1, 2]]
    assert np.isnan(found.position_cov[2, 0, 0])
    assert found.table.centres.tolist() == found.xy.tolist()


def test_a_position_that_is_no_number_is_left_out(tmp_path: Path) -> None:
    record = {"index": 0, "tracks": [track(xy=[None, 1.0]), track(id=5)]}
    assert read_estimates(written(tmp_path, record)).track_id.tolist() == [5]


def test_a_short_log_says_nothing_of_tracks(tmp_path: Path) -> None:
    assert len(read_estimates(written(tmp_path, {"index": 0, "counts": {}})).frame) == 0


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ([1], "frames.jsonl:2: not a frame's line"),
        ({"tracks": [track()]}, "frames.jsonl:2: not a frame's line"),
        ({"index": 1, "tracks": [{"state": "confirmed"}]}, "frames.jsonl:2: not a frame's line"),
        ({"index": 1, "tracks": [track(position_cov=[1.0])]}, "malformed"),
    ],
)
def test_what_is_no_frame_log(tmp_path: Path, record: object, says: str) -> None:
    path = written(tmp_path, {"index": 0, "tracks": [track()]}, record)
    with pytest.raises(StreamError, match=says):
        read_estimates(path)
    with pytest.raises(StreamError, match="cannot read"):
        read_estimates(tmp_path / "missing.jsonl")
