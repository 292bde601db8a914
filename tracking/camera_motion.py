"""How the camera moved from one picture to the next, so that tracks move with it.

Settings say when: ``off`` never looks, ``on`` registers every picture, ``auto`` first asks whether
the camera stands (:mod:`tracking.stillness`), which is cheap, and only otherwise registers
(:mod:`tracking.registration`). While it stands the motion is exactly none.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field, replace

import numpy as np

from configs.schema import Switch
from streamer.types import FloatArray, Image
from tracking.evidence import Agreement, bears_out
from tracking.registration import correlate_phases, follow_corners
from tracking.stillness import ALIKE, Sketch, likeness, sketch, stands_still

STILL_PX = 0.25
"""A camera that moves by less than this between two pictures stands: tracks follow that."""
_BETTER = 0.9
"""What sets the pictures apart, 1 less their correlation, must shrink to this share or less by a
motion on which corners agree."""
_MUCH_BETTER = 0.75
"""The same for phase correlation, which has no witnesses."""
_FINE_PX = 160
"""The longest side of the finer sketch of a picture, about."""
_FINE_BRIGHTEST = 25.0
"""What is bright counts for more there: roofs and masts below a sky of faint clouds, which encoders
copy from the picture before, tell how the camera moved."""
_LOST_SHARE = 0.02
"""A motion that could not be seen has this standard deviation, of the picture's longest side, or
that of the last one seen."""
_LOST_PICTURES = 16
"""So many pictures after the last that could be read the camera is taken to stand again: a plain
sky tells nothing, and tracks that are never certain are no use."""
_RETRY_PICTURES = 8
"""Where nothing can be read a registration is tried this seldom."""


def _identity() -> FloatArray:
    return np.column_stack((np.eye(2), np.zeros(2)))


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """From one picture to the next: what lay at ``p`` lies at ``A p + t`` now."""

    warp: FloatArray = field(default_factory=_identity)
    """(2, 3) A, a rotation and a zoom, and t, px."""
    still: bool = True
    """Nothing moved: ``warp`` is exactly the identity, and there is nothing to do."""
    trusted: bool = True
    """False: the camera moved, or the scene is another, and ``warp`` is the identity for want of
    anything better."""
    blank: bool = False
    """True: it is still for want of anything in the pictures that could have moved."""
    sigma_px: float = 0.0
    """Standard deviation of where things are now, for what ``warp`` does not know."""
    cut: bool = False
    """True: it is certain, or to be feared, that the camera looks at another scene than it did
    before it was lost. A picture alone that cannot be read says nothing of that."""

    def points(self, xy: FloatArray) -> FloatArray:
        """Where points (N, 2) are now, px."""
        return xy @ self.warp[:, :2].T + self.warp[:, 2]

    def earlier(self, xy: FloatArray) -> FloatArray:
        """Where what is at points (N, 2) now was before, px."""
        before = np.linalg.solve(self.warp[:, :2], (xy - self.warp[:, 2]).T).T
        return np.asarray(before, dtype=np.float64)

    def following(self, earlier: Motion) -> Motion:
        """Both, ``earlier`` first."""
        linear = self.warp[:, :2] @ earlier.warp[:, :2]
        return Motion(
            np.column_stack((linear, self.points(earlier.warp[:, 2]))),
            still=self.still and earlier.still,
            trusted=self.trusted and earlier.trusted,
            blank=self.blank and earlier.blank,
            sigma_px=math.hypot(self.sigma_px, earlier.sigma_px),
            cut=self.cut or earlier.cut,
        )

    def movement_px(self, shape: tuple[int, ...]) -> float:
        """How far a picture (H, W) moves, px: the root mean square over it."""
        height, width = shape
        x, y = np.meshgrid(np.linspace(0, width - 1, 5), np.linspace(0, height - 1, 5))
        points = np.column_stack((x.ravel(), y.ravel()))
        moved = self.points(points) - points
        return float(np.sqrt(np.mean(np.square(moved).sum(axis=1))))

    def after(
        self, transition: FloatArray, process_noise: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """How states move by themselves first and then with the picture.

        Velocities turn with the picture, but stay those against the scene.

        Args:
            transition: F, (4, 4), by themselves.
            process_noise: Q, (..., 4, 4), likewise.

        Returns:
            F (4, 4), an offset (4,) to add to what F gives, and Q (..., 4, 4) with the motion's
            uncertainty in it.
        """
        offset = np.zeros(4)
        if self.still:
            return transition, offset, process_noise
        both = np.kron(np.eye(2), self.warp[:, :2])
        offset[:2] = self.warp[:, 2]
        noise = both @ process_noise @ both.T
        noise[..., [0, 1], [0, 1]] += self.sigma_px**2
        return both @ transition, offset, noise


class _Seen:
    """What is remembered of a picture."""

    def __init__(self, image: Image, boxes_xyxy: FloatArray) -> None:
        self.image = image
        self.boxes_xyxy = boxes_xyxy
        self.sketch = sketch(image, boxes_xyxy)

    @functools.cached_property
    def sketches(self) -> tuple[Sketch, Sketch]:
        """A coarse one and a fine one, which is wanted only where the camera may have moved."""
        return self.sketch, sketch(self.image, self.boxes_xyxy, _FINE_PX, _FINE_BRIGHTEST)


class CameraMotion:
    """Watches the pictures of one source.

    Args:
        mode: ``off``, ``auto`` or ``on``.
    """

    def __init__(self, mode: Switch) -> None:
        self._mode = mode
        self._before: _Seen | None = None
        self._known: _Seen | None = None
        """While pictures cannot be read: the last before them, on which one may lie again."""
        self._unread = _LOST_PICTURES
        """Pictures since the last that could be compared with the one before it."""
        self._pace_px = 0.0
        """The last motion seen."""

    def estimate(self, image: Image, boxes_xyxy: FloatArray) -> Motion:
        """The motion since the last picture, or since the last that could be read where this one
        lies on that: what is between them moved nothing.

        The first picture has none. One of another size or type is of another scene.

        Args:
            image: (H, W) uint8 or uint16; it must not change later.
            boxes_xyxy: (N, 4) the detections in it, px: they say nothing of the camera.
        """
        if self._mode == "off":
            return Motion()
        now = _Seen(image, boxes_xyxy)
        before, self._before = self._before, now
        if before is None:
            return Motion()
        if before.image.shape != image.shape or before.image.dtype != image.dtype:
            self._known = None
            return self._lost(image)
        motion = self._between(before, now)
        again = None if self._known is None else self._between(self._known, now)
        if again is not None and self._known is not None:
            # Another place may lie on the known one in a way: on itself it lies better.
            likeness_of_last = -1.0
            if motion is not None:
                likeness_of_last = _likeness(motion.warp, before, now)
            if _likeness(again.warp, self._known, now) > likeness_of_last:
                self._unread, self._known = 0, None
                return again
        if motion is None:
            return self._lost(image, before)
        if not now.sketch.detail.any():  # blank pictures are alike, and tell nothing
            return replace(motion, blank=True)
        if not motion.still:
            self._pace_px = motion.movement_px(image.shape)
        elsewhere = self._known is not None
        self._unread, self._known = 0, None
        return replace(motion, cut=elsewhere)

    def _between(self, earlier: _Seen, now: _Seen) -> Motion | None:
        """The motion between two pictures; None where they do not tell."""
        auto = self._mode == "auto"
        if auto and stands_still(earlier.sketch, now.sketch, STILL_PX):
            return Motion()
        if auto and self._unread >= _LOST_PICTURES and self._unread % _RETRY_PICTURES:
            return None
        warp = _registered(earlier, now)
        if warp is None:
            return None
        motion = Motion(warp, still=False)
        tiny = auto and motion.movement_px(now.image.shape) < STILL_PX
        return Motion() if tiny else motion

    def _lost(self, image: Image, before: _Seen | None = None) -> Motion:
        if self._unread == 0:
            self._known = before
        self._unread += 1
        waited = self._known is not None
        if self._unread > _LOST_PICTURES:
            self._known = None
            if self._mode == "auto":
                return Motion(cut=waited)
        sigma = max(_LOST_SHARE * max(image.shape), self._pace_px)
        return Motion(still=False, trusted=False, sigma_px=sigma, cut=self._known is None)


def _registered(before: _Seen, now: _Seen) -> FloatArray | None:
    """The warp by the first method that finds one which the pictures bear out, coarse or fine:
    noise drowns what is fine, and edges tell the more of a motion the finer they are."""
    pairs = list(zip(before.sketches, now.sketches, strict=True))
    unmoved = [Agreement.of(earlier.detail, later.detail) for earlier, later in pairs]
    for register, share in ((_by_corners, _BETTER), (_by_phases, _MUCH_BETTER)):
        warp = register(before, now)
        if warp is None:
            continue
        moved = [Agreement.with_motion(warp, *pair) for pair in pairs]
        if any(bears_out(*each, share) for each in zip(unmoved, moved, strict=True)):
            return warp
    # As alike as that, and no more by any motion: what differs is noise.
    return _identity() if likeness(before.sketch.detail, now.sketch.detail) >= ALIKE else None


def _likeness(warp: FloatArray, before: _Seen, now: _Seen) -> float:
    return Agreement.with_motion(warp, before.sketch, now.sketch).by_strength


def _by_corners(before: _Seen, now: _Seen) -> FloatArray | None:
    return follow_corners(before.image, now.image, before.boxes_xyxy)


def _by_phases(before: _Seen, now: _Seen) -> FloatArray | None:
    return correlate_phases(before.sketches, now.sketches)
