"""How targets look decides where places do not."""

import numpy as np
import pytest
from shown_targets import tracker

from streamer.types import Detections


def blobs(
    xy: list[tuple[float, float]], area: list[float], snr: list[float], time: float
) -> Detections:
    centres = np.array(xy)
    half = np.sqrt(np.array(area))[:, None] / 2
    return Detections(
        xy=centres,
        boxes_xyxy=np.hstack((centres - half, centres + half)),
        score=np.full(len(xy), 0.9),
        area_px=np.array(area),
        peak_snr=np.array(snr),
        extended=np.zeros(len(xy), dtype=np.bool_),
        frame_index=0,
        pts_seconds=time,
    )


@pytest.mark.parametrize("unknown", [np.nan, 0.0])
@pytest.mark.parametrize("first", [0, 1])
def test_of_two_detections_as_near_that_which_looks_like_the_target_is_its(
    first: int, unknown: float
) -> None:
    subject = tracker()
    for k in range(30):
        subject.step(blobs([(50, 50)], [9], [12 if k % 3 else unknown], k / 30))
    pairs = [((50.8, 50.0), 8.0, 11.0), ((49.2, 50.0), 2.0, 4.0)]
    xy, area, snr = zip(*(pairs if first == 0 else pairs[::-1]), strict=True)
    tracks = subject.step(blobs(list(xy), list(area), list(snr), 1.0))
    assert tracks.detection_index.tolist() == [first]


def test_a_target_that_fades_is_not_let_go_for_it() -> None:
    subject = tracker()
    for k in range(120):
        tracks = subject.step(
            blobs([(50 + k, 50)], [9 if k < 60 else 1], [20 if k < 60 else 3], k / 30)
        )
        assert tracks.track_id.tolist() == [1]


@pytest.mark.parametrize(("bright", "faint"), [(0, 1), (1, 0)])
def test_targets_that_are_one_blob_for_a_while_keep_their_ids(bright: int, faint: int) -> None:
    """A bright one overtakes a faint one on nearly the same line; then they part again."""
    rng = np.random.default_rng(11)
    subject = tracker()
    start: dict[int, float] = {}
    for k in range(150):
        time = k / 30
        places = np.array([(20 + 70 * time, 100.0), (70 + 45 * time, 101.0)])
        places[:, 1] += (0, 2 * abs(time - 2))
        seen_at = places + rng.normal(0, 0.3, (2, 2))
        area, snr = np.array([9.0, 2.0]), np.array([14.0, 5.0])
        if np.hypot(*(places[0] - places[1])) < 4:
            light = (area * snr) / (area * snr).sum()
            found = blobs([tuple(light @ seen_at)], [11.0], [14.0], time)
        else:
            order = [bright, faint]
            found = blobs([tuple(p) for p in seen_at[order]], area[order], snr[order], time)
        tracks = subject.step(found)
        if k in (30, 149):
            size = tracks.boxes_xyxy[:, 2] - tracks.boxes_xyxy[:, 0]
            now = dict(zip(tracks.track_id.tolist(), size.tolist(), strict=True))
            start = start or now
    assert set(now) == set(start) == {1, 2}
    assert all(abs(now[i] - start[i]) < 0.8 for i in (1, 2))
