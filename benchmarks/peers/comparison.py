"""From figures of single scenes to means, intervals and differences: what the tables show."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.measures import Figures
from benchmarks.peers.scenes import PROPERTIES, PeerCell
from benchmarks.peers.statistics import Mean, mean_of, paired, verdict
from tracking.metrics.intervals import poisson_rate_interval
from tracking.metrics.sums import ratio


@dataclass(frozen=True, slots=True)
class Measure:
    """One of the figures that are compared."""

    key: str
    more_is_better: bool
    of: Callable[[Figures], float]


HOTA = Measure("hota", True, lambda figures: figures.hota)
GOSPA = Measure("gospa_px", False, lambda figures: figures.gospa_px)
IDF1 = Measure("idf1", True, lambda figures: figures.idf1)
SWITCHES = Measure("switches", False, lambda figures: float(figures.switches))
MEASURES = (HOTA, GOSPA, IDF1, SWITCHES)
JUDGED = (HOTA, GOSPA)
"""By these ours must not be worse."""


@dataclass(frozen=True, slots=True)
class CellResult:
    """All trackers on one kind of scene."""

    cell: PeerCell
    figures: dict[str, list[Figures]]
    """By row, one a seed, seeds in the same order for all."""

    def mean(self, row: str, measure: Measure) -> Mean:
        """Over seeds."""
        return mean_of([measure.of(each) for each in self.figures[row]])

    def difference(self, ours: str, peer: str, measure: Measure) -> Mean:
        """Ours less the peer's, over seeds."""
        one, other = ([measure.of(each) for each in self.figures[row]] for row in (ours, peer))
        return paired(one, other)

    def verdict(self, ours: str, peer: str, measure: Measure) -> str:
        """``better``, ``worse`` or nothing."""
        difference = self.difference(ours, peer, measure)
        return verdict(difference, more_is_better=measure.more_is_better)


def by_seed(results: Sequence[CellResult], row: str, measure: Measure) -> list[float]:
    """Mean over cells of each seed. Cells of one seed share their targets, seeds share nothing."""
    columns = [[measure.of(each) for each in result.figures[row]] for result in results]
    return [statistics.fmean(column) for column in zip(*columns, strict=True)]


def overall(results: Sequence[CellResult], row: str) -> dict[str, Any]:
    """A row's figures over cells and seeds."""
    every = [each for result in results for each in result.figures[row]]
    minutes = sum(each.minutes for each in every)
    false = sum(each.false_tracks for each in every)
    return {
        **{measure.key: mean_of(by_seed(results, row, measure)).entry() for measure in MEASURES},
        "tracked_share": ratio(
            sum(each.tracked for each in every), sum(each.labelled for each in every)
        ),
        "switches_in_all": sum(each.switches for each in every),
        "false_tracks": false,
        "false_tracks_per_minute": ratio(false, minutes),
        "false_tracks_per_minute_interval": poisson_rate_interval(false, minutes),
        "minutes": minutes,
        "step_ms": statistics.median(each.step_ms for each in every),
    }


def against(results: Sequence[CellResult], ours: str, peer: str) -> dict[str, Any]:
    """Ours less a peer's on the same scenes: the mean over cells, and cells counted by verdict."""
    entry: dict[str, Any] = {"ours": ours, "peer": peer, "cells": len(results)}
    for measure in MEASURES:
        difference = paired(by_seed(results, ours, measure), by_seed(results, peer, measure))
        said = [result.verdict(ours, peer, measure) for result in results]
        entry[measure.key] = {
            **difference.entry(),
            "verdict": verdict(difference, more_is_better=measure.more_is_better),
            "cells_worse": said.count("worse"),
            "cells_better": said.count("better"),
        }
    return entry


def by_property(results: Sequence[CellResult]) -> Iterable[tuple[str, Any, list[CellResult]]]:
    """The cells with each value of each property: its name, the value, the cells."""
    for name in PROPERTIES:
        for value in sorted({result.cell.properties()[name] for result in results}):
            yield name, value, [r for r in results if r.cell.properties()[name] == value]
