"""What counts as tracked and what as false, per clip and pooled over clips.

* A target is *tracked* in a frame when the centre of a confirmed or coasting estimate lies in its
  box. Boxes of small targets overlap too little for IoU to say anything: 3 x 3 px that move one
  pixel diagonally have an IoU of 0.29.
* A track is *false* when it was in no box for 3 frames or more of its life.
* Of several tracks in a target's box the one that was there before speaks for it, else the one
  nearest the box's centre. When another takes over, also after a gap, that is an identity switch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from streamer.types import BoolArray
from tracking.mot import MotTable

MIN_FRAMES_IN_BOX = 3


@dataclass(frozen=True, slots=True)
class Counts:
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

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            *(getattr(self, name) + getattr(other, name) for name in Counts.__dataclass_fields__)
        )


def count_clip(truth: MotTable, tracks: MotTable, frames: int) -> Counts:
    """Count one clip.

    Args:
        truth: the targets' boxes, in the same pixel coordinates as the tracks.
        tracks: the confirmed and coasting tracks.
        frames: the clip's length.
    """
    track_ids = np.unique(tracks.object_id)
    frames_in_box = dict.fromkeys(track_ids.tolist(), 0)
    speaker: dict[int, int] = {}
    speakers: dict[int, set[int]] = {}
    tracked = switches = 0
    for frame in np.unique(truth.frame):
        targets = np.flatnonzero(truth.frame == frame)
        here = np.flatnonzero(tracks.frame == frame)
        ids, centres = tracks.object_id[here], tracks.centres[here]
        boxes = truth.boxes_xyxy[targets]
        inside: BoolArray = np.all(
            (centres[None, :, :] >= boxes[:, None, :2])
            & (centres[None, :, :] <= boxes[:, None, 2:]),
            axis=2,
        )
        for track_id in np.unique(ids[inside.any(axis=0)]).tolist():
            frames_in_box[track_id] += 1
        for row, target in enumerate(truth.object_id[targets].tolist()):
            candidates = np.flatnonzero(inside[row])
            if not len(candidates):
                continue
            tracked += 1
            before = speaker.get(target)
            if before not in ids[candidates]:
                middle = truth.centres[targets[row]]
                away = np.hypot(*(centres[candidates] - middle).T)
                speaker[target] = int(ids[candidates[away.argmin()]])
                speakers.setdefault(target, set()).add(speaker[target])
                switches += before is not None
    return Counts(
        clips=1,
        frames=frames,
        labelled=len(truth),
        tracked=tracked,
        targets=len(np.unique(truth.object_id)),
        targets_found=len(speakers),
        tracks=len(track_ids),
        false_tracks=sum(count < MIN_FRAMES_IN_BOX for count in frames_in_box.values()),
        identity_switches=switches,
        ids_on_targets=sum(len(ids) for ids in speakers.values()),
    )


def pooled(counts: Iterable[Counts]) -> Counts:
    """The sum."""
    return sum(counts, start=Counts())


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
    ids_per_found_target: float | None


def rates(counts: Counts, fps: float) -> Rates:
    """The rates of ``counts`` over clips of ``fps`` frames per second."""
    minutes = counts.frames / fps / 60
    return Rates(
        minutes=minutes,
        tracked_share=_ratio(counts.tracked, counts.labelled),
        tracked_share_interval=wilson_interval(counts.tracked, counts.labelled),
        false_tracks_per_minute=_ratio(counts.false_tracks, minutes),
        false_tracks_per_minute_interval=poisson_rate_interval(counts.false_tracks, minutes),
        identity_switches_per_clip=_ratio(counts.identity_switches, counts.clips),
        ids_per_found_target=_ratio(counts.ids_on_targets, counts.targets_found),
    )


def wilson_interval(successes: int, trials: int) -> tuple[float, float] | None:
    """The 95 % interval of a share; None without trials.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927).
    """
    if not trials:
        return None
    z = 1.959963984540054
    share = successes / trials
    middle = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def poisson_rate_interval(events: int, exposure: float) -> tuple[float, float] | None:
    """The exact 95 % interval of a rate per unit of ``exposure``; None without exposure.

    Source: Garwood, "Fiducial Limits for the Poisson Distribution" (1936).
    """
    if exposure <= 0:
        return None
    low = float(chi2.ppf(0.025, 2 * events)) / 2 if events else 0.0
    return low / exposure, float(chi2.ppf(0.975, 2 * events + 2)) / 2 / exposure


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
