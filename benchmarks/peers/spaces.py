"""What of each tracker is tuned, and between which values: all are tuned on the same scenes.

Every value is one of a few. A space's first candidate is ``START``: what the tracker has by
default, where that can work on point targets at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.peers.exchange import Parameter, Parameters

Space = dict[str, tuple[Parameter, ...]]

_SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
_SHOWN = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
_BOXES: dict[str, tuple[Parameter, ...]] = {
    "side_px": (12, 16, 20, 24, 32, 40, 48, 64, 96),
    "least_score": _SCORES,
    "shown_seconds": _SHOWN,
    "smoothed": ("yes", "no"),
    "state": ("xyxy", "xcycsr"),
    "lost_track_buffer": (5, 10, 15, 20, 30, 45),
    "minimum_consecutive_frames": (1, 2, 3, 4, 5),
    "minimum_iou_threshold": (0.02, 0.05, 0.1, 0.2, 0.3, 0.4),
}
_ACTIVATION = (0.3, 0.4, 0.5, 0.6, 0.7)
_START_BOXES: Parameters = {
    "side_px": 24,
    "least_score": 0.1,
    "shown_seconds": 0.2,
    "smoothed": "yes",
    "lost_track_buffer": 30,
}

SPACES: dict[str, Space] = {
    "ours": {
        "threshold": (0.3, 0.4, 0.5, 0.6, 0.7),
        "life": ("likelihood",),
        "acceleration_sigma": (30, 50, 80, 120, 180, 250),
        "position_sigma_px": (0.4, 0.55, 0.7, 0.85, 1.0),
        "initial_speed_sigma": (30, 60, 100, 150, 220),
        "gate_probability": (0.99, 0.997, 0.9990, 0.9997),
        "false_tracks_per_hour": (1, 10, 100, 1000, 10000),
        "detection_probability": (0.6, 0.7, 0.8, 0.9),
        "false_alarms_per_frame": (0.05, 0.2, 0.5, 1.0, 2.0),
        "confirm_displacement_px": (0, 1),
        "coast_seconds": (0.3, 0.5, 0.7, 1.0, 1.5),
        "tentative_coast_seconds": (0.1, 0.15, 0.25, 0.4),
    },
    "sort": {**_BOXES, "track_activation_threshold": _ACTIVATION},
    "bytetrack": {
        **_BOXES,
        "track_activation_threshold": _ACTIVATION,
        "high_conf_det_threshold": (0.2, 0.3, 0.4, 0.5, 0.6),
    },
    "ocsort": {
        **_BOXES,
        "high_conf_det_threshold": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
        "direction_consistency_weight": (0.0, 0.1, 0.2, 0.4),
        "delta_t": (1, 2, 3, 5),
    },
    "norfair": {
        "least_score": _SCORES,
        "distance_threshold": (4, 6, 8, 12, 16, 24, 32, 48),
        "hit_counter_max": (3, 5, 8, 10, 15, 20, 30),
        "initialization_delay": (0, 1, 2, 3, 4, 6),
        "pointwise_hit_counter_max": (1, 2, 4, 6, 10),
        "r": (0.1, 0.3, 1.0, 4.0),
        "q": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
        "pos_variance": (0.5, 2.0, 10.0),
        "vel_variance": (1.0, 10.0, 50.0, 200.0),
        "shown": ("live", "all"),
    },
    "stonesoup": {
        "least_score": _SCORES,
        "birth_score": (0.2, 0.3, 0.4, 0.5, 0.6),
        "shown_seconds": _SHOWN,
        "position_sigma_px": (0.4, 0.55, 0.7, 0.85, 1.0),
        "q": (500, 1500, 4000, 8000, 16000, 40000),
        "gate_sigmas": (2.5, 3.0, 3.5, 4.0, 5.0),
        "initial_speed_sigma": (30, 60, 100, 150, 220),
        "tentative_coast_seconds": (0.1, 0.15, 0.25, 0.4),
        "min_points": (2, 3, 4, 5, 6),
        "coast_seconds": (0.3, 0.5, 0.7, 1.0, 1.5),
    },
}
"""By tracker. ``lost_track_buffer`` is in thirtieths of a second whatever the frame rate is, ``q``
in px^2/s^3."""

START: dict[str, Parameters] = {
    "ours": {
        "threshold": 0.5,
        "life": "likelihood",
        "acceleration_sigma": 80,
        "position_sigma_px": 0.7,
        "initial_speed_sigma": 60,
        "gate_probability": 0.997,
        "false_tracks_per_hour": 10,
        "detection_probability": 0.8,
        "false_alarms_per_frame": 0.2,
        "confirm_displacement_px": 1,
        "coast_seconds": 0.7,
        "tentative_coast_seconds": 0.15,
    },
    "sort": {
        **_START_BOXES,
        "state": "xyxy",
        "minimum_consecutive_frames": 3,
        "minimum_iou_threshold": 0.3,
        "track_activation_threshold": 0.4,
    },
    "bytetrack": {
        **_START_BOXES,
        "state": "xyxy",
        "minimum_consecutive_frames": 2,
        "minimum_iou_threshold": 0.1,
        "track_activation_threshold": 0.7,
        "high_conf_det_threshold": 0.6,
    },
    "ocsort": {
        **_START_BOXES,
        "state": "xcycsr",
        "minimum_consecutive_frames": 3,
        "minimum_iou_threshold": 0.3,
        "high_conf_det_threshold": 0.6,
        "direction_consistency_weight": 0.2,
        "delta_t": 3,
    },
    "norfair": {
        "least_score": 0.4,
        "distance_threshold": 16,
        "hit_counter_max": 15,
        "initialization_delay": 3,
        "pointwise_hit_counter_max": 4,
        "r": 4.0,
        "q": 0.1,
        "pos_variance": 10.0,
        "vel_variance": 1.0,
        "shown": "all",
    },
    "stonesoup": {
        "least_score": 0.3,
        "birth_score": 0.5,
        "shown_seconds": 0.35,
        "position_sigma_px": 0.7,
        "q": 8000,
        "gate_sigmas": 3.5,
        "initial_speed_sigma": 60,
        "tentative_coast_seconds": 0.15,
        "min_points": 4,
        "coast_seconds": 0.7,
    },
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the tables: a tracker with its default settings, or with those found by tuning."""

    key: str
    title: str
    tracker: str
    """A key of ``SPACES``."""
    package: str
    """Whose environment it runs in; "" is the product's own."""
    fixed: Parameters | None = None
    """What it runs with; None: what tuning finds."""

    def entry(self) -> dict[str, Any]:
        """For the JSON."""
        return {"key": self.key, "title": self.title, "package": self.package or "irtrack"}


OURS, OURS_TUNED = "ours", "ours_tuned"

ROWS = (
    Row(OURS, "ours, defaults", "ours", "", {"threshold": 0.5}),
    Row(OURS_TUNED, "ours, tuned", "ours", ""),
    Row("sort", "SORT", "sort", "trackers"),
    Row("bytetrack", "ByteTrack", "bytetrack", "trackers"),
    Row("ocsort", "OC-SORT", "ocsort", "trackers"),
    Row("norfair", "norfair", "norfair", "norfair"),
    Row("stonesoup", "Stone Soup GNN", "stonesoup", "stonesoup"),
)
PEERS = tuple(row for row in ROWS if row.package)
