"""How well the detector did on the synthetic scene, whose truth is known."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from streamer.scene import Scene
from streamer.types import FrameResult

MATCH_RADIUS_PX = 3.0
"""A detection nearer than this to a target's true centre has found it, as in the literature."""


class TruthScore:
    """A sink that counts found targets and false detections against a scene's truth.

    Only detections at or above the threshold count; hidden targets need not be found, and finding
    one all the same is not false.

    Args:
        scene: what the frames were rendered from.
        threshold: score, 0..1, that a detection must reach.
    """

    name = "score"

    def __init__(self, scene: Scene, threshold: float) -> None:
        self._scene = scene
        self._threshold = threshold
        self.frames = 0
        self.targets = 0
        self.found = 0
        self.false = 0

    @property
    def pd(self) -> float:
        """Probability of detection: found among the visible targets, 0..1."""
        return self.found / max(1, self.targets)

    @property
    def false_per_frame(self) -> float:
        """False detections a frame."""
        return self.false / max(1, self.frames)

    def write(self, result: FrameResult) -> None:
        """Count one frame."""
        detections = result.detections
        seen = detections.xy[detections.score >= self._threshold]
        at = self._scene.truth(result.frame.index)
        truth, visible = at.xy, at.visible
        distance = cdist(truth, seen)
        rows, columns = linear_sum_assignment(np.where(distance < MATCH_RADIUS_PX, distance, 1e6))
        matched = distance[rows, columns] < MATCH_RADIUS_PX
        self.frames += 1
        self.targets += int(visible.sum())
        self.found += int((matched & visible[rows]).sum())
        self.false += len(seen) - int(matched.sum())

    def close(self) -> None:
        """Nothing to close."""

    def verdict(self) -> str:
        """The counts and what they mean, one line."""
        return (
            f"against the scene's truth: Pd {self.pd:.3f} ({self.found} of {self.targets}), "
            f"{self.false_per_frame:.3f} false detections a frame ({self.false} in {self.frames})"
        )
