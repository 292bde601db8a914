"""What a tracker made of a scene, measured by the project's own measures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.scenes import PeerScene
from tracking.metrics import measure_clip
from tracking.mot import MotTable, read_mot


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one tracker on one scene."""

    hota: float
    gospa_px: float
    """Mean of the frames that arrived."""
    idf1: float
    tracked: int
    labelled: int
    switches: int
    false_tracks: int
    tracks: int
    minutes: float
    step_ms: float
    """Median, of the step alone."""

    def entry(self) -> dict[str, Any]:
        """For the JSON."""
        return asdict(self)


def measure_tracks(scene: PeerScene, tracks: Path, seconds: Path) -> Figures:
    """Measure what a tracker wrote.

    Args:
        scene: on which it ran.
        tracks: MOTChallenge text.
        seconds: of its steps, ``.npy``.

    Raises:
        StreamError: the tracks cannot be read, or an id is there twice in a frame.
        ValueError: a line is of a frame that did not arrive.
    """
    tally = measure_clip(scene.truth, scene.numbered(read_mot(tracks)), scene.frames)
    return Figures(
        hota=tally.hota.figures().hota or 0.0,
        gospa_px=tally.gospa.figures().gospa_px or 0.0,
        idf1=tally.identity.figures().idf1 or 0.0,
        tracked=tally.counts.tracked,
        labelled=tally.counts.labelled,
        switches=tally.counts.identity_switches,
        false_tracks=tally.counts.false_tracks,
        tracks=tally.counts.tracks,
        minutes=scene.minutes,
        step_ms=float(np.median(np.load(seconds))) * 1e3,
    )


def merit(figures: Figures, gospa_of_nothing: float) -> float:
    """What tuning raises: the mean of HOTA and of the share of GOSPA that the tracks save.

    Both are 0 where nothing is tracked and 1 where everything is; much that is false makes the
    second one negative.

    Args:
        figures: of the tracker.
        gospa_of_nothing: of no tracks at all on the same scene, px.
    """
    saved = 1 - figures.gospa_px / gospa_of_nothing if gospa_of_nothing else 0.0
    return (figures.hota + saved) / 2


def gospa_of_nothing(scene: PeerScene) -> float:
    """GOSPA where nothing is tracked, px."""
    nothing = measure_clip(scene.truth, MotTable.empty(), scene.frames)
    return nothing.gospa.figures().gospa_px or 0.0
