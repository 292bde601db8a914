"""MOTA: misses, false positives and identity switches in one number (CLEAR MOT)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from streamer.types import BoolArray, IntArray
from tracking.metrics.pairs import SIMILARITY, ClipPairs, Similarity, at_least
from tracking.metrics.sums import Additive, ratio

# More than all similarities of a frame together: whom a target was with before comes first.
_STAY = 1000.0
_NOBODY = -1


@dataclass(frozen=True, slots=True)
class Clear:
    """The figures; None where undefined."""

    mota: float | None
    """1 less misses, false positives and switches a labelled frame: at most 1, may be below 0."""
    motp: float | None
    """Mean similarity of pairs, 0..1."""


@dataclass(frozen=True, slots=True)
class ClearTally(Additive):
    """What was counted."""

    pairs: int = 0
    false_positives: int = 0
    """Pairs of a track and a frame in which it has no target."""
    misses: int = 0
    """Pairs of a target and a frame in which it has no track."""
    identity_switches: int = 0
    """How often a target came to another track than it had last, also after a gap."""
    fragmentations: int = 0
    """How often a target that had a track was missed and then had one again."""
    localisation: float = 0.0
    """Sum over pairs of their similarity."""

    def figures(self) -> Clear:
        """What follows from the counts."""
        wrong = self.misses + self.false_positives + self.identity_switches
        share = ratio(wrong, self.pairs + self.misses)
        return Clear(
            mota=None if share is None else 1 - share,
            motp=ratio(self.localisation, self.pairs),
        )


def measure_clear(clip: ClipPairs, similarity: Similarity = SIMILARITY) -> ClearTally:
    """Count a clip.

    In each frame a target stays with the track it had in the frame before where that is similar
    enough; the others pair at the greatest sum of similarity.

    Source: Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking Performance: The CLEAR
    MOT Metrics" (2008), paired as TrackEval does; fragmentations as motmetrics counts them, over
    the frames in which a target is labelled (TrackEval overlooks gaps without any track).
    """
    before = np.full(len(clip.target_lengths), _NOBODY)
    last = before.copy()
    switches, localisation = 0, 0.0
    seen = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_))]
    for frame in clip.frames:
        paired = np.zeros(len(frame.targets), dtype=np.bool_)
        seen.append((frame.targets, paired))
        if not frame.distance.size:
            continue
        alike = similarity.of(frame.distance)
        score = alike + _STAY * (frame.tracks[None, :] == before[frame.targets, None])
        score[~at_least(alike, similarity.threshold)] = 0.0
        rows, columns = linear_sum_assignment(score, maximize=True)
        possible = score[rows, columns] > 0
        rows, columns = rows[possible], columns[possible]
        targets, tracks = frame.targets[rows], frame.tracks[columns]
        switches += int(np.count_nonzero((last[targets] != _NOBODY) & (last[targets] != tracks)))
        localisation += float(alike[rows, columns].sum())
        last[targets] = tracks
        before[:] = _NOBODY
        before[targets] = tracks
        paired[rows] = True
    targets, had = (np.concatenate(each) for each in zip(*seen, strict=True))
    pairs = int(np.count_nonzero(had))
    return ClearTally(
        pairs=pairs,
        false_positives=clip.estimated - pairs,
        misses=clip.labelled - pairs,
        identity_switches=switches,
        fragmentations=_fragmentations(targets, had),
        localisation=localisation,
    )


def _fragmentations(targets: IntArray, paired: BoolArray) -> int:
    """How often pairs begin anew.

    Args:
        targets: (N,) labelled targets, frame by frame.
        paired: (N,) whether each had a track there.
    """
    order = np.argsort(targets, kind="stable")
    target, had = targets[order], paired[order]
    begins = had.copy()
    begins[1:] &= ~had[:-1] | (target[1:] != target[:-1])
    return int(np.count_nonzero(begins)) - len(np.unique(target[had]))
