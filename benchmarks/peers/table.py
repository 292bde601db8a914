"""The comparison for people, in Markdown, and all of it as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.peers.comparison import (
    GOSPA,
    HOTA,
    JUDGED,
    CellResult,
    Measure,
    against,
    by_property,
    by_seed,
    overall,
)
from benchmarks.peers.spaces import OURS, Row
from benchmarks.peers.statistics import Mean, mean_of
from benchmarks.report import Column, Part

_TITLES = {"hota": "HOTA", "gospa_px": "GOSPA, px"}
_PROPERTIES = {
    "targets": "targets",
    "detected": "Pd",
    "clutter": "clutter",
    "fps": "fps",
    "jumps": "camera jumps",
}
_OVERALL = (
    Column("tracker", "tracker"),
    Column("hota", "HOTA"),
    Column("gospa_px", "GOSPA, px"),
    Column("idf1", "IDF1"),
    Column("tracked_share", "tracked", "{:.1%}"),
    Column("switches", "id switches a scene"),
    Column("false_per_minute", "false tracks a minute"),
    Column("step_ms", "step ms, median", "{:.2f}"),
)
_AGAINST = (
    Column("ours", "ours"),
    Column("peer", "less"),
    Column("hota", "HOTA"),
    Column("hota_verdict", "is"),
    Column("hota_cells", "cells worse / better"),
    Column("gospa_px", "GOSPA, px"),
    Column("gospa_px_verdict", "is"),
    Column("gospa_px_cells", "cells worse / better"),
)


def parts(results: Sequence[CellResult], rows: Sequence[Row]) -> list[Part]:
    """The tables; those of which there is nothing to show are left out.

    Args:
        results: a cell each.
        rows: trackers, in the order of the tables.
    """
    plain = [each for each in results if not each.cell.every_other]
    dropped = [each for each in results if each.cell.every_other]
    made: list[Part] = []
    if plain:
        made += [
            _overall("mean over cells", plain, rows),
            _against("differences on the same scenes", plain, rows),
            *(_by_property(measure, plain, rows) for measure in JUDGED),
            *(_by_cell(measure, plain, rows) for measure in JUDGED),
        ]
    if dropped:
        made += [
            _overall("every other frame dropped", dropped, rows),
            _switches(dropped, rows),
            *(
                _by_cell(measure, dropped, rows, "every other frame dropped: ")
                for measure in JUDGED
            ),
        ]
    return made


def numbers(results: Sequence[CellResult], rows: Sequence[Row]) -> dict[str, Any]:
    """Everything as plain values: the figures of each scene, and what the tables show of them."""
    plain = [each for each in results if not each.cell.every_other]
    dropped = [each for each in results if each.cell.every_other]
    pairs = [(ours.key, peer.key) for ours, peer in _pairs(rows)]
    return {
        "rows": [row.entry() for row in rows],
        **{
            name: {
                "overall": {row.key: overall(part, row.key) for row in rows},
                "differences": [against(part, *pair) for pair in pairs],
            }
            for name, part in (("cells", plain), ("every_other_dropped", dropped))
            if part
        },
        "figures": [
            {
                **result.cell.entry(),
                "trackers": {
                    key: [each.entry() for each in figures]
                    for key, figures in result.figures.items()
                },
                "differences": [
                    {
                        "ours": ours,
                        "peer": peer,
                        **{
                            measure.key: {
                                **result.difference(ours, peer, measure).entry(),
                                "verdict": result.verdict(ours, peer, measure),
                            }
                            for measure in JUDGED
                        },
                    }
                    for ours, peer in pairs
                ],
            }
            for result in results
        ],
    }


def _pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Each row of ours with each peer."""
    ours = [row for row in rows if not row.package]
    return [(one, peer) for one in ours for peer in rows if peer.package]


def _overall(name: str, results: Sequence[CellResult], rows: Sequence[Row]) -> Part:
    lines = []
    for row in rows:
        all_of = overall(results, row.key)
        low, high = all_of["false_tracks_per_minute_interval"]
        lines.append(
            {
                "tracker": row.title,
                "hota": _written(_mean(all_of["hota"]), "{:.3f}"),
                "gospa_px": _written(_mean(all_of["gospa_px"]), "{:.2f}"),
                "idf1": _written(_mean(all_of["idf1"]), "{:.3f}"),
                "tracked_share": all_of["tracked_share"],
                "switches": _written(_mean(all_of["switches"]), "{:.2f}"),
                "false_per_minute": f"{all_of['false_tracks_per_minute']:.2f}"
                f" ({low:.2f} to {high:.2f})",
                "step_ms": all_of["step_ms"],
            }
        )
    about = (
        f"{len(results)} cells. Intervals are 95 %: over seeds (Student), of false tracks those of"
        " a count (Garwood)."
    )
    return Part(name, about, _OVERALL, lines)


def _against(name: str, results: Sequence[CellResult], rows: Sequence[Row]) -> Part:
    lines = []
    for ours, peer in _pairs(rows):
        entry = against(results, ours.key, peer.key)
        line: dict[str, Any] = {"ours": ours.title, "peer": peer.title}
        for measure, form in ((HOTA, "{:+.3f}"), (GOSPA, "{:+.2f}")):
            one = entry[measure.key]
            line[measure.key] = _written(_mean(one), form)
            line[f"{measure.key}_verdict"] = one["verdict"]
            line[f"{measure.key}_cells"] = f"{one['cells_worse']} / {one['cells_better']}"
        lines.append(line)
    about = (
        "Ours less the peer's, seed by seed (paired, Student, 95 %): the mean over cells, and in"
        " how many cells ours is significantly worse or better, uncorrected for their number: of"
        " equals one cell in forty would be found worse by chance."
    )
    return Part(name, about, _AGAINST, lines)


def _by_property(measure: Measure, results: Sequence[CellResult], rows: Sequence[Row]) -> Part:
    lines = []
    for name, value, of_value in by_property(results):
        line: dict[str, Any] = {"cells": f"{_PROPERTIES[name]} {_plain(value)}"}
        for row in rows:
            mean = mean_of(by_seed(of_value, row.key, measure))
            line[row.key] = _written(mean, _form(measure))
        lines.append(line)
    columns = (Column("cells", "cells with"), *(Column(row.key, row.title) for row in rows))
    return Part(f"{_TITLES[measure.key]} by property", "Means over cells.", columns, lines)


def _by_cell(
    measure: Measure, results: Sequence[CellResult], rows: Sequence[Row], prefix: str = ""
) -> Part:
    lines = []
    peers = [row for row in rows if row.package]
    for result in results:
        line: dict[str, Any] = {"cell": result.cell.name}
        for row in rows:
            line[row.key] = _written(result.mean(row.key, measure), _form(measure))
        if any(row.key == OURS for row in rows):
            line["worse"] = ", ".join(
                peer.title for peer in peers if result.verdict(OURS, peer.key, measure) == "worse"
            )
        lines.append(line)
    columns = [Column("cell", "cell"), *(Column(row.key, row.title) for row in rows)]
    columns.append(Column("worse", "our defaults significantly worse than"))
    return Part(f"{prefix}{_TITLES[measure.key]} by cell", "Means over seeds.", columns, lines)


def _switches(results: Sequence[CellResult], rows: Sequence[Row]) -> Part:
    lines = []
    for ours, peer in _pairs(rows):
        one = against(results, ours.key, peer.key)["switches"]
        mine, theirs = (overall(results, row.key)["switches_in_all"] for row in (ours, peer))
        lines.append(
            {
                "ours": ours.title,
                "peer": peer.title,
                "mine": mine,
                "theirs": theirs,
                "difference": _written(_mean(one), "{:+.2f}"),
                "verdict": one["verdict"],
            }
        )
    columns = (
        Column("ours", "ours"),
        Column("peer", "less"),
        Column("mine", "id switches, ours", "{:d}"),
        Column("theirs", "the peer's", "{:d}"),
        Column("difference", "difference a scene"),
        Column("verdict", "is"),
    )
    about = "Settings are those tuned at 30 fps with all frames."
    return Part("every other frame dropped: identity switches", about, columns, lines)


def _mean(entry: dict[str, Any]) -> Mean:
    return Mean(entry["mean"], entry["low"], entry["high"])


def _form(measure: Measure) -> str:
    return "{:.3f}" if measure is HOTA else "{:.2f}"


def _written(mean: Mean, form: str) -> str:
    reach = mean.half_width
    said = form.format(mean.value)
    return said if reach is None else f"{said} ± {form.replace('+', '').format(reach)}"


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
