"""Means over seeds with their intervals, and differences of trackers on the same scenes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import t

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean and its two-sided 95 % interval."""

    value: float
    low: float | None
    """None where there is one value only."""
    high: float | None

    @property
    def half_width(self) -> float | None:
        """Of the interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    def entry(self) -> dict[str, float | None]:
        """For the JSON."""
        return {"mean": self.value, "low": self.low, "high": self.high}


def mean_of(values: Sequence[float]) -> Mean:
    """The mean of independent values, with Student's interval.

    Raises:
        ValueError: there is no value.
    """
    count = len(values)
    if not count:
        raise ValueError("a mean of no values")
    middle = statistics.fmean(values)
    if count == 1:
        return Mean(middle, None, None)
    spread = statistics.stdev(values) / math.sqrt(count)
    reach = float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * spread
    return Mean(middle, middle - reach, middle + reach)


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Mean:
    """Ours less theirs on the same scenes, one after the other: what scenes differ in drops out."""
    return mean_of([a - b for a, b in zip(ours, theirs, strict=True)])


def verdict(difference: Mean, *, more_is_better: bool) -> str:
    """``better`` or ``worse`` where the whole interval is on that side of 0, else nothing."""
    if difference.low is None or difference.high is None:
        return ""
    if difference.low > 0:
        return "better" if more_is_better else "worse"
    if difference.high < 0:
        return "worse" if more_is_better else "better"
    return ""
