"""Tables in Markdown of what tracks are worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tracking.metrics import Tally, rates

Row = tuple[str, Tally, float]
"""A name, what was counted under it, and its frames per second."""


def tables_of(rows: Iterable[Row]) -> str:
    """All measures: a table by boxes, two by centres; a line for each name in every one."""
    listed = list(rows)
    return "\n".join((table_of(listed), _identity_table(listed), _distance_table(listed)))


def table_of(rows: Iterable[Row]) -> str:
    """What counts by the targets' boxes: a line for each name."""
    lines = []
    for name, tally, fps in rows:
        counts, rate = tally.counts, rates(tally.counts, fps)
        lines.append(
            (
                name,
                counts.clips,
                f"{rate.minutes:.2f}",
                counts.labelled,
                _share(rate.tracked_share),
                _interval(rate.tracked_share_interval, 100, " %"),
                counts.tracks,
                counts.false_tracks,
                _number(rate.false_tracks_per_minute),
                _interval(rate.false_tracks_per_minute_interval),
                counts.identity_switches,
                _number(rate.ids_per_found_target),
            )
        )
    titles = (
        "clips", "n", "minutes", "labelled frames", "tracked", "95 % interval", "tracks", "false",
        "false a minute", "95 % interval", "id switches", "ids a target",
    )  # fmt: skip
    return _table(titles, lines)


def _identity_table(rows: Iterable[Row]) -> str:
    lines = []
    for name, tally, _ in rows:
        hota, identity, clear = (
            tally.hota.figures(),
            tally.identity.figures(),
            tally.clear.figures(),
        )
        shares = (
            hota.hota, hota.det_a, hota.ass_a, hota.loc_a, identity.idf1, identity.idp,
            identity.idr, clear.mota, clear.motp,
        )  # fmt: skip
        lines.append(
            (
                name,
                *map(_share, shares),
                tally.clear.false_positives,
                tally.clear.misses,
                tally.clear.identity_switches,
                tally.clear.fragmentations,
            )
        )
    titles = (
        "by centres", "HOTA", "DetA", "AssA", "LocA", "IDF1", "IDP", "IDR", "MOTA", "MOTP", "FP",
        "FN", "id switches", "fragmentations",
    )  # fmt: skip
    return _table(titles, lines)


def _distance_table(rows: Iterable[Row]) -> str:
    lines = []
    for name, tally, fps in rows:
        gospa, consistency = tally.gospa.figures(), tally.consistency.figures()
        rate = rates(tally.counts, fps)
        lines.append(
            (
                name,
                _number(gospa.gospa_px),
                _number(gospa.localisation),
                _number(gospa.missed),
                _number(gospa.false),
                _number(rate.confirmation_seconds_median),
                _number(rate.confirmation_seconds_p90),
                _number(consistency.nees),
                _share(consistency.within_95),
            )
        )
    titles = (
        "by frames", "GOSPA, px", "localisation, px²", "missed, px²", "false, px²",
        "confirmed after, s", "90 % after, s", "NEES (2 is right)", "within 95 %",
    )  # fmt: skip
    return _table(titles, lines)


def _table(titles: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    rule = "| --- " + "| ---: " * (len(titles) - 1) + "|"
    rows = [titles, *lines]
    head, *body = ("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)
    return "\n".join((head, rule, *body)) + "\n"


def _share(value: float | None) -> str:
    return _number(value, 100, " %")


def _number(value: float | None, scale: float = 1.0, unit: str = "") -> str:
    return "-" if value is None else f"{value * scale:.2f}{unit}"


def _interval(value: tuple[float, float] | None, scale: float = 1.0, unit: str = "") -> str:
    return "-" if value is None else f"{value[0] * scale:.2f} to {value[1] * scale:.2f}{unit}"
