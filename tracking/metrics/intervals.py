"""How far a share or a rate that was counted may be from the truth."""

from __future__ import annotations

import math

from scipy.stats import chi2


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
