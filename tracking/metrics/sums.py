"""What measures count, so that it can be added up over clips."""

from __future__ import annotations

from dataclasses import fields
from typing import Self


class Additive:
    """A dataclass whose fields add up, each with its own: clips pool by ``+`` and ``sum``."""

    __slots__ = ()

    def __add__(self, other: Self) -> Self:
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        return type(self)(*(getattr(self, name) + getattr(other, name) for name in names))


def ratio(part: float, whole: float) -> float | None:
    """``part / whole``; None where there is no whole."""
    return part / whole if whole else None
