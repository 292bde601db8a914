"""Pictures for people: a set's contact sheet, and an evaluation's curve, finds and misses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from model.training.data.noise import Noise
from model.training.data.packs import grey8
from model.training.data.published import PictureSet, Sample
from model.training.metrics import Evaluation, components, count, match

_PANEL_ROWS = 8
_TILE = 300
_SHEET_COLUMNS, _SHEET_ROWS = 10, 8
_SHEET_TILE = 120
_HIT, _MISS, _FALSE = (60, 200, 60), (60, 60, 255), (0, 165, 255)  # BGR
_INK, _PAPER, _PALE = (40, 40, 40), (255, 255, 255), (225, 225, 225)


def pr_picture(result: Evaluation, marked: Sequence[float]) -> NDArray[np.uint8]:
    """Precision over recall, (H, W, 3) BGR, with the marked thresholds as dots."""
    side, left, top = 480, 60, 40
    page = np.full((top + side + 60, left + side + 30, 3), _PAPER, np.uint8)

    def place(recall: float, precision: float) -> tuple[int, int]:
        return left + round(recall * side), top + round((1 - precision) * side)

    for tick in np.linspace(0, 1, 6):
        cv2.line(page, place(tick, 0), place(tick, 1), _PALE)
        cv2.line(page, place(0, tick), place(1, tick), _PALE)
        _write(page, f"{tick:.1f}", (place(tick, 0)[0] - 10, top + side + 18))
        _write(page, f"{tick:.1f}", (left - 32, place(0, tick)[1] + 4))
    cv2.rectangle(page, place(0, 1), place(1, 0), _INK)
    points = [
        place(each.recall, each.precision)
        for each in result.counts
        if each.recall is not None and each.precision is not None
    ]
    cv2.polylines(page, [np.array(points, np.int32).reshape(-1, 1, 2)], False, (190, 90, 20), 2)
    for threshold in marked:
        each = result.at(threshold)
        if each.recall is not None and each.precision is not None:
            x, y = place(each.recall, each.precision)
            cv2.circle(page, (x, y), 5, _MISS, cv2.FILLED)
            _write(page, f"{threshold:g}", (x + 8, y - 6))
    area = "-" if result.pr_area is None else f"{result.pr_area:.4f}"
    _write(page, f"precision over recall of pixels, area {area}", (left, 26))
    _write(page, "recall", (left + side // 2 - 20, top + side + 42))
    return page


def contact_sheet(pictures: PictureSet) -> NDArray[np.uint8]:
    """(H, W, 3) BGR: pictures from all over a split, a ring around every target.

    Raises:
        DatasetError: a picture changed or went away since it was checked.
    """
    count = min(len(pictures), _SHEET_COLUMNS * _SHEET_ROWS)
    wide, high = _SHEET_TILE + 4, _SHEET_TILE + 18
    rows = -(-count // _SHEET_COLUMNS)
    sheet = np.full((rows * high, _SHEET_COLUMNS * wide, 3), _PAPER, np.uint8)
    for place, index in enumerate(np.linspace(0, len(pictures) - 1, count).round().astype(int)):
        sample = pictures[int(index)]
        tile = _coloured(_scaled(grey8(sample), _SHEET_TILE))
        _ring(tile, components(sample.truth).centroids, sample.truth.shape, _FALSE)
        top, left = (place // _SHEET_COLUMNS) * high, (place % _SHEET_COLUMNS) * wide
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        _write(sheet, sample.name[-14:], (left, top + _SHEET_TILE + 12))
    return sheet


def panels(
    probability_of: Callable[[Sample], NDArray[np.float32]],
    pictures: PictureSet,
    ious: Sequence[float],
    threshold: float,
    noise: Noise | None = None,
) -> NDArray[np.uint8]:
    """A page of pictures, evenly spread from that with the worst IoU to that with the best.

    Args:
        probability_of: runs the network on a picture: (H, W) 0..1.
        pictures: what was evaluated.
        ious: of each of them, at the threshold.
        threshold: above which a pixel is predicted.
        noise: what was added to the pictures.

    Returns:
        (H, W, 3) BGR; a row a picture: picture, truth, probability, outcome.
    """
    order = np.argsort(ious, kind="stable")
    chosen = np.unique(np.linspace(0, len(order) - 1, min(_PANEL_ROWS, len(order))).round())
    page = [_strip("picture", "truth", "probability")]
    for place, (text, colour) in enumerate((("found", _HIT), ("missed", _MISS), ("false", _FALSE))):
        _write(page[0], text, (3 * (_TILE + 4) + 6 + 64 * place, 15), colour)
    for index in order[chosen.astype(np.int64)]:
        sample = pictures[int(index)]
        seen = noise(sample) if noise else sample
        probability = probability_of(seen)
        counts = count(probability > threshold, sample.truth)
        targets, found = sum(counts.targets), sum(counts.detected)
        caption = (
            f"{sample.name}  {sample.image.shape[1]}x{sample.image.shape[0]}  IoU "
            f"{ious[index]:.3f}  found {found} of {targets}, false {counts.false_components}"
        )
        grey = np.clip(np.rint(seen.image * seen.gain), 0, 255).astype(np.uint8)
        tiles = (
            _coloured(_scaled(grey)),
            _coloured(_scaled(sample.truth.astype(np.uint8) * 255, points=True)),
            _coloured(_scaled((probability * 255).astype(np.uint8), points=True)),
            _outcome(grey, probability > threshold, sample.truth),
        )
        gap = _TILE + 4 - tiles[0].shape[1]
        row = [np.pad(t, ((0, 0), (0, gap), (0, 0)), constant_values=255) for t in tiles]
        page += [_strip(caption), np.hstack(row)[:, : 4 * _TILE + 12]]
    return np.vstack(page)


def _outcome(
    grey: NDArray[np.uint8], predicted: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The dimmed picture with found, missed and false components in colour and in a ring each."""
    true_parts, parts = components(truth), components(predicted)
    pairs = match(true_parts, parts)
    missed = np.setdiff1d(np.arange(len(true_parts.areas)), pairs[:, 0])
    false = np.setdiff1d(np.arange(len(parts.areas)), pairs[:, 1])
    tile = _coloured(_scaled(grey) // 2)
    for those, which, colour in (
        (true_parts, missed, _MISS),
        (parts, false, _FALSE),
        (parts, pairs[:, 1], _HIT),
    ):
        mask = np.isin(those.labels, which + 1).astype(np.uint8)
        tile[_scaled(mask, points=True) > 0] = colour
        _ring(tile, those.centroids[which], grey.shape, colour)
    return tile


def _ring(
    tile: NDArray[np.uint8],
    centroids: NDArray[np.float64],
    shape: tuple[int, ...],
    colour: tuple[int, int, int],
) -> None:
    """A ring around every (row, column) of a picture of that shape, in place on its tile."""
    scale = max(tile.shape) / max(shape)
    for row, column in centroids:
        centre = (round((column + 0.5) * scale), round((row + 0.5) * scale))
        cv2.circle(tile, centre, max(tile.shape) // 33, colour, 1, cv2.LINE_AA)


def _scaled(
    grey: NDArray[np.uint8], side: int = _TILE, *, points: bool = False
) -> NDArray[np.uint8]:
    """The picture with its longer side of so many px; with points, no bright one is lost by it."""
    scale = side / max(grey.shape)
    if points and scale < 1:
        reach = int(np.ceil(1 / scale))
        grey = np.asarray(cv2.dilate(grey, np.ones((reach, reach), np.uint8)), np.uint8)
    height, width = (max(1, round(length * scale)) for length in grey.shape)
    how = cv2.INTER_NEAREST if points or scale > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(grey, (width, height), interpolation=how), np.uint8)


def _coloured(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[..., None], 3, axis=2)


def _strip(*texts: str) -> NDArray[np.uint8]:
    strip = np.full((22, 4 * _TILE + 12, 3), _PAPER, np.uint8)
    for column, text in enumerate(texts):
        _write(strip, text, (column * (_TILE + 4) + 6, 15))
    return strip


def _write(
    page: NDArray[np.uint8], text: str, at: tuple[int, int], colour: tuple[int, int, int] = _INK
) -> None:
    cv2.putText(page, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)


def png(picture: NDArray[np.uint8]) -> bytes:
    """The picture as the bytes of a PNG file."""
    return cv2.imencode(".png", picture)[1].tobytes()
