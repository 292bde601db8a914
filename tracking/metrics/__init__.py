"""What tracks are worth against the truth: a file a measure, and ``tally.py`` for all of them.

Each measure counts a clip into a tally; tallies of clips add up, and figures follow from the sum,
as the reference toolkits pool sequences. Counts go by the targets' boxes; HOTA, IDF1, MOTA, GOSPA
and NEES by the distance of centres.
"""

from tracking.metrics.clear import ClearTally, measure_clear
from tracking.metrics.consistency import ConsistencyTally, measure_consistency
from tracking.metrics.counts import Counts, Rates, count_clip, rates
from tracking.metrics.gospa import GospaTally, measure_gospa
from tracking.metrics.hota import HotaTally, measure_hota
from tracking.metrics.identity import IdentityTally, measure_identity
from tracking.metrics.intervals import poisson_rate_interval, wilson_interval
from tracking.metrics.pairs import SIMILARITY, Similarity, pair_up
from tracking.metrics.tally import Tally, measure_clip, pooled

__all__ = [
    "SIMILARITY",
    "ClearTally",
    "ConsistencyTally",
    "Counts",
    "GospaTally",
    "HotaTally",
    "IdentityTally",
    "Rates",
    "Similarity",
    "Tally",
    "count_clip",
    "measure_clear",
    "measure_clip",
    "measure_consistency",
    "measure_gospa",
    "measure_hota",
    "measure_identity",
    "pair_up",
    "poisson_rate_interval",
    "pooled",
    "rates",
    "wilson_interval",
]
