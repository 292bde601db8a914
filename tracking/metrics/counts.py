"""What counts as tracked and what as false, by the targets' boxes.

* A target is *tracked* in a frame when the centre of a confirmed or coasting estimate lies in its
  box. Boxes of small targets overlap too little for IoU to say anything: 3 x 3 px that move one
  pixel diagonally have an IoU of 0.29.
* A track is *false* when it was in no box for 3 frames or more of its life.
* Of several tracks in a target's box the one that was there before speaks for it, else the one
  nearest the box's centre. When another takes over, also after a gap, that is an identity switch.
* A target's confirmation takes from the first frame in which it is labelled to the first in which
  it is tracked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from streamer.types import BoolArray, FloatArray
from tracking.metrics.intervals import poisson_rate_interval, wilson_interval
from tracking.metrics.pairs import pair_up
from tracking.metrics.sums import Additive, ratio
from tracking.mot import MotTable

MIN_FRAMES_IN_BOX = 3

_NOT_YET = -1


@dataclass(frozen=True, slots=True)
class Counts(Additive):
    """What was counted in one clip, or in many: everything else follows from these."""

    clips: int = 0
    frames: int = 0
    """Length, all clips together."""
    labelled: int = 0
    """Pairs of a target and a frame in which it is visible."""
    tracked: int = 0
    """Those in which it was tracked."""
    targets: int = 0
    targets_found: int = 0
    """Targets that were tracked in a frame or more."""
    tracks: int = 0
    false_tracks: int = 0
    identity_switches: int = 0
    ids_on_targets: int = 0
    """How many ids spoke for a target, over all targets."""
    confirmation_frames: tuple[int, ...] = ()
    """How many frames the confirmation of each target took that was found; 0: tracked at once."""


def count_clip(truth: MotTable, tracks: MotTable, frames: int) -> Counts:
    """Count one clip.

    Args:
        truth: the targets' boxes, in the same pixel coordinates as the tracks.
        tracks: the confirmed and coasting tracks.
        frames: the clip's length.

    Raises:
        StreamError: an id is there twice in a frame.
    """
    clip = pair_up(truth, tracks)
    boxes, centres = truth.boxes_xyxy, tracks.centres
    frames_in_box = np.zeros(len(clip.track_lengths), dtype=np.int64)
    began = np.full(len(clip.target_lengths), _NOT_YET)
    speaker = np.full(len(clip.target_lengths), _NOT_YET)
    spoke = np.zeros((len(clip.target_lengths), len(clip.track_lengths)), dtype=np.bool_)
    confirmation: list[int] = []
    tracked = switches = 0
    for frame in clip.frames:
        began[frame.targets[began[frame.targets] == _NOT_YET]] = frame.number
        inside = points_in_boxes(boxes[frame.target_lines], centres[frame.track_lines])
        frames_in_box[frame.tracks[inside.any(axis=0)]] += 1
        found = np.flatnonzero(inside.any(axis=1))
        if not len(found):
            continue
        tracked += len(found)
        inside, targets = inside[found], frame.targets[found]
        before = speaker[targets]
        gone = ~np.any(inside & (frame.tracks == before[:, None]), axis=1)
        nearest = np.where(inside, frame.distance[found], np.inf)[gone].argmin(axis=1)
        new = targets[gone]
        speaker[new] = frame.tracks[nearest]
        spoke[new, speaker[new]] = True
        switches += int(np.count_nonzero(before[gone] != _NOT_YET))
        confirmation += (frame.number - began[targets[before == _NOT_YET]]).tolist()
    return Counts(
        clips=1,
        frames=frames,
        labelled=len(truth),
        tracked=tracked,
        targets=len(clip.target_lengths),
        targets_found=len(confirmation),
        tracks=len(clip.track_lengths),
        false_tracks=int(np.count_nonzero(frames_in_box < MIN_FRAMES_IN_BOX)),
        identity_switches=switches,
        ids_on_targets=int(np.count_nonzero(spoke)),
        confirmation_frames=tuple(confirmation),
    )


def points_in_boxes(boxes: FloatArray, points: FloatArray) -> BoolArray:
    """(G, P) which of the points (P, 2) lies in which of the boxes (G, 4), edges included."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    return np.asarray(((points >= low) & (points <= high)).all(axis=2), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class Rates:
    """What follows from counts; None where undefined. Intervals are 95 %.

    Those of shares take frames as independent, which frames of one clip are not: with few clips
    the truth is wider.
    """

    minutes: float
    tracked_share: float | None
    tracked_share_interval: tuple[float, float] | None
    false_tracks_per_minute: float | None
    false_tracks_per_minute_interval: tuple[float, float] | None
    identity_switches_per_clip: float | None
    identity_switches_per_clip_interval: tuple[float, float] | None
    ids_per_found_target: float | None
    confirmation_seconds_median: float | None
    """Of the targets that were found."""
    confirmation_seconds_p90: float | None
    """The 90th percentile of the same."""


def rates(counts: Counts, fps: float) -> Rates:
    """The rates of ``counts`` over clips of ``fps`` frames per second."""
    minutes = counts.frames / fps / 60
    seconds = np.array(counts.confirmation_frames) / fps
    known = len(seconds) > 0 and math.isfinite(fps)
    median, late = np.percentile(seconds, (50, 90)).tolist() if known else (None, None)
    return Rates(
        minutes=minutes,
        tracked_share=ratio(counts.tracked, counts.labelled),
        tracked_share_interval=wilson_interval(counts.tracked, counts.labelled),
        false_tracks_per_minute=ratio(counts.false_tracks, minutes),
        false_tracks_per_minute_interval=poisson_rate_interval(counts.false_tracks, minutes),
        identity_switches_per_clip=ratio(counts.identity_switches, counts.clips),
        identity_switches_per_clip_interval=poisson_rate_interval(
            counts.identity_switches, counts.clips
        ),
        ids_per_found_target=ratio(counts.ids_on_targets, counts.targets_found),
        confirmation_seconds_median=median,
        confirmation_seconds_p90=late,
    )
