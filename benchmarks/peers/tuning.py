"""Parameters found by random search and then by small steps: the same effort for every tracker."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.peers.exchange import Parameters
from benchmarks.peers.spaces import Space

Evaluate = Callable[[Sequence[Parameters], Sequence[int]], list[list[float]]]
"""The merit of each candidate on each of the scenes with these numbers; more is better."""

_ROUNDS = 2
"""So often variants of the best are tried."""
_PARTS = 3
"""A first look is on one scene of three, and of one candidate of three more is seen."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What tuning found."""

    parameters: Parameters
    merit: float
    """Mean over the scenes."""
    start_merit: float
    """Of the first candidate."""
    tried: int
    """Candidates."""

    def entry(self) -> dict[str, Any]:
        """For the JSON."""
        return {
            "parameters": self.parameters,
            "merit": self.merit,
            "start_merit": self.start_merit,
            "tried": self.tried,
        }


def tune(
    space: Space,
    start: Parameters,
    evaluate: Evaluate,
    *,
    scenes: int,
    candidates: int,
    seed: int = 0,
) -> Tuned:
    """Look for better parameters.

    A first look at ``candidates`` random ones on a third of the scenes; the best third of them, and
    the start, on all of them; then twice variants of the best one, in which one or two parameters
    are others, half as many as the first looks.

    Args:
        space: values of each parameter.
        start: the first candidate.
        evaluate: measures.
        scenes: how many there are.
        candidates: how many to begin with, the start among them.
        seed: of what is random.
    """
    rng = np.random.default_rng(seed)
    first = _distinct([start], partial(_random, space, rng), candidates)
    glance = list(range(math.ceil(scenes / _PARTS)))
    rest = list(range(len(glance), scenes))
    seen = [sum(each) for each in evaluate(first, glance)]
    order = sorted(range(len(first)), key=lambda k: -seen[k])
    kept = sorted({0, *order[: math.ceil(len(first) / _PARTS)]})
    more = evaluate([first[k] for k in kept], rest) if rest else [[] for _ in kept]
    merit = [(seen[k] + sum(other)) / scenes for k, other in zip(kept, more, strict=True)]
    start_merit = merit[0]
    best = int(np.argmax(merit))
    found, highest = first[kept[best]], merit[best]
    known = list(first)
    for _ in range(_ROUNDS):
        before = len(known)
        draw = partial(_variant, found, space, rng)
        known = _distinct(known, draw, before + max(1, candidates // 2))
        variants = known[before:]
        if not variants:
            break
        seen_all = evaluate(variants, list(range(scenes)))
        for variant, each in zip(variants, seen_all, strict=True):
            if sum(each) / scenes > highest:
                found, highest = variant, sum(each) / scenes
    return Tuned(found, highest, start_merit, len(known))


def _random(space: Space, rng: np.random.Generator) -> Parameters:
    return {name: values[int(rng.integers(len(values)))] for name, values in space.items()}


def _variant(parent: Parameters, space: Space, rng: np.random.Generator) -> Parameters:
    """One or two parameters take another value."""
    free = [name for name, values in space.items() if len(values) > 1]
    changed = dict(parent)
    for k in rng.permutation(len(free))[: int(rng.integers(1, 3))].tolist():
        others = [value for value in space[free[k]] if value != parent[free[k]]]
        changed[free[k]] = others[int(rng.integers(len(others)))]
    return changed


def _distinct(
    known: Sequence[Parameters], draw: Callable[[], Parameters], count: int
) -> list[Parameters]:
    """The known ones and new ones, ``count`` in all; fewer where a small space has no more."""
    found = list(known)
    for _ in range(50 * count):
        if len(found) >= count:
            break
        candidate = draw()
        if candidate not in found:
            found.append(candidate)
    return found
