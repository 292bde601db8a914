"""Truth and tracks to measure: lines written by hand, and scenes drawn at random."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from tracking.mot import MotTable

AREA_PX = 25.0


def table(*lines: tuple[int, int, float, float], size: float = 10.0) -> MotTable:
    """Lines of (frame, id, x, y), each a square box of ``size`` px about (x, y)."""
    values = np.array(lines, dtype=np.float64).reshape(len(lines), 4)
    return boxes(values[:, 0], values[:, 1], values[:, 2:], size)


def boxes(frame: NDArray, object_id: NDArray, xy: NDArray, size: float = 10.0) -> MotTable:
    """The same from arrays (L,), (L,) and (L, 2)."""
    return MotTable(
        frame=frame.astype(np.int64),
        object_id=object_id.astype(np.int64),
        boxes_xyxy=np.hstack((xy - size / 2, xy + size / 2)),
        confidence=np.ones(len(frame)),
    )


def along(object_id: int, frames: range, x: float = 50.0, y: float = 50.0) -> list:
    """Lines of an object at rest, for ``table``."""
    return [(frame, object_id, x, y) for frame in frames]


def shuffled(lines: MotTable, seed: int) -> MotTable:
    """The same lines in another order."""
    order = np.random.default_rng(seed).permutation(len(lines))
    return MotTable(
        lines.frame[order],
        lines.object_id[order],
        lines.boxes_xyxy[order],
        lines.confidence[order],
    )


def scene(
    seed: int, *, targets: int = 6, frames: int = 40, area_px: float = AREA_PX
) -> tuple[MotTable, MotTable]:
    """Targets that wander about close to each other, and tracks that jitter, lose them, come back
    under other ids, change over to a neighbour and see what is not there.
    """
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, area_px, (1, targets, 2))
    xy = start + np.cumsum(rng.normal(0, 0.7, (frames, targets, 2)), axis=0)
    frame, target = (axis.ravel() for axis in np.indices((frames, targets)))
    there = (rng.random((frames, targets)) < 0.9).ravel()
    truth = boxes(frame[there] + 1, target[there] + 1, xy[frame, target][there])

    found = rng.random(len(frame)) < 0.85
    ids = 10 * (target + 1) + np.cumsum(rng.random((frames, targets)) < 0.05, axis=0).ravel()
    swapped = (frame > frames // 2) & (target < 2)  # the first two change over
    ids[swapped] += np.where(target[swapped] == 0, 10, -10)
    seen = xy[frame, target] + rng.normal(0, 1.5, (len(frame), 2))
    tracks = boxes(frame[found] + 1, ids[found], seen[found], 3.0)
    clutter = rng.integers(1, frames + 1, frames // 2)
    false = boxes(
        clutter, 1000 + np.arange(len(clutter)), rng.uniform(0, area_px, (len(clutter), 2)), 3.0
    )
    return truth, joined(tracks, false)


def joined(*tables: MotTable) -> MotTable:
    """All lines, less those whose id is in the frame already."""
    frame, object_id, edges = (
        np.concatenate([getattr(each, name) for each in tables])
        for name in ("frame", "object_id", "boxes_xyxy")
    )
    _, first = np.unique(np.column_stack((frame, object_id)), axis=0, return_index=True)
    return MotTable(frame[first], object_id[first], edges[first], np.ones(len(first)))


@st.composite
def small_tables(draw: st.DrawFn, area_px: float = 12.0) -> MotTable:
    """A few lines in a few frames, close to each other; perhaps none."""
    keys = st.tuples(st.integers(1, 6), st.integers(1, 4))
    place = st.floats(0, area_px, allow_nan=False)
    lines = draw(st.dictionaries(keys, st.tuples(place, place), max_size=16))
    return table(*((*key, *xy) for key, xy in lines.items()))
