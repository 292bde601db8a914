"""Whether a motion of the camera is borne out by two pictures.

Undone, it must make them much more alike, and that is asked in two ways of which one will do. By
places: each block of the picture that has texture has the same say, so that a text burnt into the
picture, the sharpest thing in it, is outvoted by the scene. By strength: what has most contrast
says most, as the roofs below a sky of faint clouds, which encoders copy from the picture before,
but no few columns of the picture may be all there is to it: that is a bird before a plain sky.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from streamer.types import FloatArray, IntArray
from tracking.registration import enlarged
from tracking.stillness import RICH_SHARE, Picture, Sketch, block_means, usual_strongest

_LEAST_LIKENESS = 0.45
"""Pictures that lie on each other correlate by this much."""
_BEST_SHARE = 0.25
"""This share of the columns, those that speak most for a motion, is left out to see whether
the others do, too:"""
_REST_SHARE = 0.9
"""what sets the pictures apart must there shrink to this share or less."""


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """How well two pictures agree, block by block."""

    both: FloatArray
    """(R, C) mean product of their details."""
    energy: FloatArray
    """(R, C) mean square of their details."""

    @classmethod
    def of(cls, before: Picture, after: Picture) -> Agreement:
        """Of two pictures' details of one size."""
        both, energy = block_means(
            before * after, np.float32(0.5) * (before * before + after * after)
        )
        return cls(both, energy)

    @classmethod
    def with_motion(cls, warp: FloatArray, before: Sketch, after: Sketch) -> Agreement:
        """Once the warp (2, 3) between their pictures is undone, where both show the scene."""
        height, width = after.detail.shape
        small_warp = enlarged(warp, 1 / after.factor)
        ahead, seen = (
            np.asarray(cv2.warpAffine(each, small_warp, (width, height)), dtype=np.float32)
            for each in (before.detail, np.ones_like(before.detail))
        )
        shown = (seen > 0.99).astype(np.float32)
        return cls.of(ahead * shown, after.detail * shown)

    def columns(self, which: IntArray) -> Agreement:
        """In those columns of blocks, (K,) of 0 to C - 1."""
        return Agreement(self.both[:, which], self.energy[:, which])

    @property
    def by_strength(self) -> float:
        """Correlation, -1..1, of what they show."""
        energy = float(self.energy.sum())
        return float(self.both.sum()) / energy if energy > 0 else 0.0

    @property
    def by_places(self) -> float:
        """Mean correlation, -1..1, of the blocks that have texture."""
        rich = self.energy >= max(RICH_SHARE * usual_strongest(self.energy), 1e-9)
        return float(np.mean(self.both[rich] / self.energy[rich])) if rich.any() else 0.0

    def apart(self) -> FloatArray:
        """(C,) what sets them apart in each column of blocks."""
        return np.asarray((self.energy - self.both).sum(axis=0))


def bears_out(unmoved: Agreement, moved: Agreement, share: float) -> bool:
    """Whether pictures are so much more alike with a motion undone that there was one.

    Args:
        unmoved: how they agree as they are.
        moved: how they agree with it undone.
        share: to which what sets them apart must shrink.
    """
    if _shrinks(unmoved.by_places, moved.by_places, share):
        return True
    if not _shrinks(unmoved.by_strength, moved.by_strength, share):
        return False
    spoken = unmoved.apart() - moved.apart()
    rest = np.argsort(spoken)[: -max(1, round(_BEST_SHARE * len(spoken)))]
    before, after = (1 - each.columns(rest).by_strength for each in (unmoved, moved))
    return after <= _REST_SHARE * before


def _shrinks(before: float, after: float, share: float) -> bool:
    return after >= _LEAST_LIKENESS and 1 - after <= share * (1 - before)
