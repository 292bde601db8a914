"""Frame results for the tests of sinks and overlay."""

from __future__ import annotations

import numpy as np

from streamer.types import Detections, Frame, FrameResult, Tracks, TrackState


def tracks_at(
    xy: list[tuple[float, float]],
    *,
    ids: list[int] | None = None,
    state: list[TrackState] | None = None,
    side: float = 1.0,
    sigma: float = 0.6,
    score: list[float] | None = None,
    detected: bool = True,
) -> Tracks:
    count = len(xy)
    centers = np.array(xy, dtype=np.float64).reshape(count, 2)
    states = np.array(state or [TrackState.CONFIRMED] * count)
    coasting = states == TrackState.COASTING
    return Tracks(
        track_id=np.array(ids or range(1, count + 1)),
        xy=centers,
        velocity=np.tile([3.0, -4.0], (count, 1)),
        position_cov=np.tile(np.eye(2) * sigma**2, (count, 1, 1)),
        boxes_xyxy=np.concatenate([centers - side / 2, centers + side / 2], axis=1),
        score=np.array(score if score is not None else [0.9] * count),
        state=states,
        age_seconds=np.full(count, 1.0),
        seconds_since_update=np.where(coasting, 0.4, 0.0),
        detection_index=np.where(coasting | (not detected), -1, np.arange(count)),
    )


def result_of(
    index: int = 0,
    pts: float | None = None,
    *,
    tracks: Tracks | None = None,
    detections: Detections | None = None,
    image: np.ndarray | None = None,
    shape: tuple[int, int] = (48, 64),
) -> FrameResult:
    pts = index / 30 if pts is None else pts
    if image is None:
        image = np.random.default_rng(index).integers(80, 160, shape).astype(np.uint8)
    frame = Frame(
        image=image,
        bit_depth=8 if image.dtype == np.uint8 else 14,
        index=index,
        pts_seconds=pts,
        utc=1_770_000_000.0 + pts,
        captured_seconds=0.0,
        source="gate",
    )
    return FrameResult(
        frame=frame,
        detections=detections or Detections.empty(index, pts),
        tracks=tracks or Tracks.empty(),
    )


def some_detections(index: int, pts: float) -> Detections:
    return Detections(
        xy=np.array([[10.25, 20.5], [3.0, 4.0]]),
        boxes_xyxy=np.array([[9.5, 19.5, 11.5, 21.5], [2.5, 3.5, 3.5, 4.5]]),
        score=np.array([0.91, 0.2]),
        area_px=np.array([4.0, 1.0]),
        peak_snr=np.array([np.inf, 7.5]),
        extended=np.array([False, True]),
        frame_index=index,
        pts_seconds=pts,
    )
