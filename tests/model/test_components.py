"""Components of any map, held against SciPy's labelling of the whole of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from model.components import find_components

_EIGHT = np.ones((3, 3))


@given(
    arrays(np.float32, (26, 37), elements=st.sampled_from([0.0, 0.0, 0.0, 0.3, 0.6, 0.9])),
    st.integers(0, 8),
    st.integers(0, 8),
)
def test_components_are_those_of_the_whole_map(
    probability: np.ndarray, row: int, column: int
) -> None:
    probability[row::9] = 0  # emptiness between, as in a map that is mostly sky
    probability[:, column::9] = 0
    low, threshold = 0.2, 0.5
    found = find_components(probability, probability >= low, threshold)

    weak, count = ndimage.label(probability >= low, _EIGHT)
    strong_ones = np.unique(weak[probability >= threshold])
    expected, count = ndimage.label(
        (probability >= threshold) | ((probability >= low) & ~np.isin(weak, strong_ones)), _EIGHT
    )
    assert len(found.area) == count
    assert ((found.labels > 0) == (expected > 0)).all()
    # Numbers may differ, but each of ours is one of theirs.
    pairs = np.unique(np.stack([found.labels, expected], axis=-1).reshape(-1, 2), axis=0)
    assert len(pairs) == len(np.unique(found.labels)) == len(np.unique(expected))
    for place in range(count):
        rows, columns = np.nonzero(found.labels == place + 1)
        assert found.area[place] == len(rows)
        assert found.peak[place] == probability[rows, columns].max()
        assert found.boxes[place].tolist() == [
            columns.min(), rows.min(), columns.max() + 1, rows.max() + 1,
        ]  # fmt: skip


@pytest.mark.parametrize("step", [2, 3, 8, 16])
def test_specks_all_over_are_each_a_component(step: int) -> None:
    probability = np.zeros((96, 128), np.float32)
    probability[::step, ::step] = 0.9
    found = find_components(probability, probability > 0.2, 0.5)
    rows, columns = np.nonzero(probability)
    assert (found.area == 1).all() and len(found.area) == len(rows)
    assert {*map(tuple, found.boxes[:, :2].tolist())} == {*zip(columns, rows, strict=True)}


def test_an_empty_map_has_none() -> None:
    found = find_components(np.zeros((9, 12), np.float32), np.zeros((9, 12), np.bool_), 0.5)
    assert not len(found.area) and not found.labels.any() and found.boxes.shape == (0, 4)
