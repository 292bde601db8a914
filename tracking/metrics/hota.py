"""HOTA: detection and association in one number, neither of which can hide the other."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from streamer.types import FloatArray
from tracking.metrics.pairs import SIMILARITY, ClipPairs, Similarity, at_least
from tracking.metrics.sums import Additive

ALPHAS = np.arange(1, 20) / 20
"""The similarities, 0.05 to 0.95, from which pairs count; figures are means over them."""

# Sums below are 0: nothing in that row and column is alike.
_NOTHING = float(np.finfo(np.float64).eps)


def _zeros() -> FloatArray:
    return np.zeros(len(ALPHAS))


@dataclass(frozen=True, slots=True)
class Hota:
    """The figures, 0..1; None where undefined."""

    hota: float | None
    """The geometric mean of detection and association."""
    det_a: float | None
    """Pairs over pairs, misses and false positives."""
    ass_a: float | None
    """Of the pairs, in how many frames of either their target and track go together."""
    loc_a: float | None
    """Their mean similarity; None where there is no pair at all."""


@dataclass(frozen=True, slots=True, eq=False)
class HotaTally(Additive):
    """What was counted; arrays are (19,), for every one of ``ALPHAS``."""

    labelled: int = 0
    """Pairs of a target and a frame."""
    estimated: int = 0
    """Pairs of a track and a frame."""
    pairs: FloatArray = field(default_factory=_zeros)
    association: FloatArray = field(default_factory=_zeros)
    """Sum over pairs of how well their target and track go together."""
    localisation: FloatArray = field(default_factory=_zeros)
    """Sum over pairs of their similarity."""

    def figures(self) -> Hota:
        """The means over ``ALPHAS``. Where none is similar enough for one of them, localisation is
        1 there and association 0, as TrackEval has it.
        """
        if not self.labelled + self.estimated:
            return Hota(None, None, None, None)
        everything = self.labelled + self.estimated - self.pairs
        some = np.maximum(1.0, self.pairs)
        det_a, ass_a = self.pairs / everything, self.association / some
        loc_a = np.where(self.pairs > 0, self.localisation / some, 1.0)
        return Hota(
            hota=float(np.sqrt(det_a * ass_a).mean()),
            det_a=float(det_a.mean()),
            ass_a=float(ass_a.mean()),
            loc_a=float(loc_a.mean()) if self.pairs.any() else None,
        )


def measure_hota(clip: ClipPairs, similarity: Similarity = SIMILARITY) -> HotaTally:
    """Count a clip.

    Pairs are made once a frame, at the greatest sum of similarity times how well the two go
    together over the clip, and then held against every one of ``ALPHAS``.

    Source: Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking" (IJCV
    2021), as TrackEval computes and pools it.
    """
    both = [frame for frame in clip.frames if frame.distance.size]
    alike = [similarity.of(frame.distance) for frame in both]
    together = np.zeros((len(clip.target_lengths), len(clip.track_lengths)))
    for frame, similar in zip(both, alike, strict=True):
        rivals = similar.sum(axis=0)[None, :] + similar.sum(axis=1)[:, None] - similar
        share = np.divide(similar, rivals, out=np.zeros_like(similar), where=rivals > _NOTHING)
        together[np.ix_(frame.targets, frame.tracks)] += share
    lengths = clip.target_lengths[:, None] + clip.track_lengths[None, :]
    alignment = together / (lengths - together)

    keys, similarities = [np.empty(0, dtype=np.int64)], [np.empty(0)]
    for frame, similar in zip(both, alike, strict=True):
        score = alignment[np.ix_(frame.targets, frame.tracks)] * similar
        rows, columns = linear_sum_assignment(score, maximize=True)
        keys.append(frame.targets[rows] * len(clip.track_lengths) + frame.tracks[columns])
        similarities.append(similar[rows, columns])
    couples, couple = np.unique(np.concatenate(keys), return_inverse=True)
    paired = np.concatenate(similarities)
    counts = at_least(paired, ALPHAS[:, None])
    frames = np.stack([np.bincount(couple[row], minlength=len(couples)) for row in counts])
    return HotaTally(
        labelled=clip.labelled,
        estimated=clip.estimated,
        pairs=counts.sum(axis=1).astype(np.float64),
        association=(frames**2 / (lengths.ravel()[couples] - frames)).sum(axis=1),
        localisation=(counts * paired).sum(axis=1),
    )
