"""SORT, ByteTrack and OC-SORT as in Roboflow's package ``trackers``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import supervision
import trackers
from trackers.utils.state_representations import XCYCSRStateEstimator, XYXYStateEstimator

from benchmarks.peers.exchange import Parameter, Reported, Stream, strong, widened_boxes
from streamer.types import Detections

_CLASSES = {
    "sort": trackers.SORTTracker,
    "bytetrack": trackers.ByteTrackTracker,
    "ocsort": trackers.OCSORTTracker,
}
_STATES = {"xyxy": XYXYStateEstimator, "xcycsr": XCYCSRStateEstimator}
_OURS = ("side_px", "least_score", "shown_seconds", "state", "smoothed")


class BoxTracker:
    """A tracker that matches by IoU: it gets boxes large enough, scores, and the stream's time.

    ``update`` gives back detections alone. Where ``shown_seconds`` is above 0, tracks that had
    none are shown for so long, too, as the filter predicts them: else every miss would count
    against trackers that do know where the target is.
    """

    def __init__(self, tracker: Any, parameters: Mapping[str, Parameter]) -> None:
        self._tracker = tracker
        self._side_px = float(parameters["side_px"])
        self._least_score = float(parameters["least_score"])
        self._shown_seconds = float(parameters["shown_seconds"])
        self._smoothed = parameters["smoothed"] == "yes"

    def step(self, detections: Detections) -> Reported:
        """Tracks that have an id."""
        rows = strong(detections, self._least_score)
        seen = supervision.Detections(
            xyxy=widened_boxes(detections, self._side_px)[rows],
            confidence=detections.score[rows],
            class_id=np.zeros(len(rows), dtype=np.int64),
        )
        given = self._tracker.update(seen, timestamp=detections.pts_seconds)
        boxes: dict[int, Any] = {}
        for track in self._tracker.tracks:
            hit = track.time_since_update == 0
            if track.tracker_id >= 0 and (
                hit or track.time_since_update_seconds <= self._shown_seconds
            ):
                boxes[track.tracker_id] = track.get_state_bbox()
        if not self._smoothed:
            for track_id, box in zip(given.tracker_id.tolist(), given.xyxy, strict=True):
                if track_id >= 0:
                    boxes[track_id] = box
        ids = np.fromiter(boxes, dtype=np.int64, count=len(boxes)) + 1
        return Reported(ids, np.array(list(boxes.values()), dtype=np.float64).reshape(-1, 4))


def build(name: str, stream: Stream, parameters: Mapping[str, Parameter]) -> BoxTracker:
    """Parameters that are not of this module are the tracker's own."""
    own = {key: value for key, value in parameters.items() if key not in _OURS}
    state = _STATES[str(parameters["state"])]
    tracker = _CLASSES[name](frame_rate=stream.fps, state_estimator_class=state, **own)
    return BoxTracker(tracker, parameters)
