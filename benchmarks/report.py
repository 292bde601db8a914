"""What a part of the benchmark hands back, and how it is written: Markdown and plain values."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for."""

    quick: bool
    """Everything shorter: good for seeing that it runs, and for a first impression."""
    device: str
    """auto, cpu or cuda."""
    threads: int | None
    """Of the network on a CPU; None: what the product does by itself."""
    weights: str = "auto"
    """Of the parts that run a detector: a name or a path; auto: the product's own choice."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    key: str
    """Of the rows' values."""
    heading: str
    form: str = "{}"
    """How a value is written; None is written as a dash, whatever the form."""

    @property
    def is_text(self) -> bool:
        """Texts stand on the left, numbers on the right."""
        return self.form == "{}"


@dataclass(frozen=True, slots=True)
class Part:
    """A part's result: one table."""

    name: str
    about: str
    """What was measured and how, a paragraph."""
    columns: Sequence[Column]
    rows: Sequence[dict[str, Any]]
    """Values that JSON knows; those of no column are for the JSON file alone."""
    more: dict[str, Any] = field(default_factory=dict)
    """Of the whole part, for the JSON file alone."""

    def markdown(self) -> str:
        """A heading, the paragraph and the table."""
        lines = [
            [_cell(column, row.get(column.key)) for column in self.columns] for row in self.rows
        ]
        headings = [column.heading for column in self.columns]
        rule = ["---" if column.is_text else "---:" for column in self.columns]
        table = "".join(f"| {' | '.join(line)} |\n" for line in (headings, rule, *lines))
        return f"## {self.name}\n\n{self.about}\n\n{table}"

    def numbers(self) -> dict[str, Any]:
        """Everything, as plain values."""
        return {"about": self.about, **self.more, "rows": list(self.rows)}


def paired_ratio(baseline: Sequence[float], other: Sequence[float]) -> float:
    """How many times as fast as the baseline: the median over rounds of the two's ratio.

    Both of a round ran within moments of each other, so that a machine that slows down and
    recovers moves neither.

    Args:
        baseline: seconds in each round.
        other: seconds in the same rounds.
    """
    return statistics.median(b / o for b, o in zip(baseline, other, strict=True))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that ``percent`` percent of them do not exceed."""
    ordered = sorted(values)
    position = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(0, min(len(ordered), int(position)) - 1)]


def say(text: str) -> None:
    """Progress, for people who wait."""
    print(text, file=sys.stderr, flush=True)


def _cell(column: Column, value: Any) -> str:
    return "-" if value is None else column.form.format(value).replace("|", "\\|")
