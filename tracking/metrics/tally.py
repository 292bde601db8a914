"""Every measure of a clip at once, and pooled over clips."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from tracking.estimates import Estimates
from tracking.metrics.clear import ClearTally, measure_clear
from tracking.metrics.consistency import ConsistencyTally, measure_consistency
from tracking.metrics.counts import Counts, count_clip, rates
from tracking.metrics.gospa import GospaTally, measure_gospa
from tracking.metrics.hota import HotaTally, measure_hota
from tracking.metrics.identity import IdentityTally, measure_identity
from tracking.metrics.pairs import SIMILARITY, Similarity, pair_up
from tracking.metrics.sums import Additive
from tracking.mot import MotTable


@dataclass(frozen=True, slots=True, eq=False)
class Tally(Additive):
    """What was counted in one clip, or in many, by every measure: all figures follow from it."""

    counts: Counts = field(default_factory=Counts)
    hota: HotaTally = field(default_factory=HotaTally)
    identity: IdentityTally = field(default_factory=IdentityTally)
    clear: ClearTally = field(default_factory=ClearTally)
    gospa: GospaTally = field(default_factory=GospaTally)
    consistency: ConsistencyTally = field(default_factory=ConsistencyTally)

    def entry(self, fps: float) -> dict[str, object]:
        """Counts and the figures that follow from them, as JSON takes them.

        Args:
            fps: frames per second of the clips.
        """
        return {
            **asdict(self.counts),
            **asdict(rates(self.counts, fps)),
            "hota": asdict(self.hota.figures()),
            "identity": asdict(self.identity) | asdict(self.identity.figures()),
            "clear": asdict(self.clear) | asdict(self.clear.figures()),
            "gospa": asdict(self.gospa.figures()),
            "consistency": {"pairs": self.consistency.pairs, **asdict(self.consistency.figures())},
        }


def measure_clip(
    truth: MotTable,
    tracks: MotTable,
    frames: int,
    *,
    estimates: Estimates | None = None,
    similarity: Similarity = SIMILARITY,
) -> Tally:
    """Measure one clip. Lines beyond its end do not count.

    Args:
        truth: the targets' boxes, in the same pixel coordinates as the tracks.
        tracks: the confirmed and coasting tracks.
        frames: the clip's length.
        estimates: the same tracks with their covariances, where these are known.
        similarity: of centres, for HOTA, IDF1 and MOTA; NEES takes its distance as limit.

    Raises:
        StreamError: an id is there twice in a frame.
    """
    truth, tracks = truth.keep(truth.frame <= frames), tracks.keep(tracks.frame <= frames)
    pairs = pair_up(truth, tracks)
    known = Estimates.empty() if estimates is None else estimates
    return Tally(
        counts=count_clip(truth, tracks, frames),
        hota=measure_hota(pairs, similarity),
        identity=measure_identity(pairs, similarity),
        clear=measure_clear(pairs, similarity),
        gospa=measure_gospa(pairs, frames),
        consistency=measure_consistency(truth, known, similarity.distance_px),
    )


def pooled(tallies: Iterable[Tally]) -> Tally:
    """The sum."""
    return sum(tallies, start=Tally())
