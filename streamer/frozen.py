"""Recognises what a thermal camera shows while it calibrates: a picture that stands still, or none.

What decides was measured on the 274 real clips of 320x256 px at 30 Hz that the project is tested
with, and on copies of them that an H.264 encoder made worse:

* Nearly equal is no sign: of a live and quiet scene an encoder changes 0.1 % of the pixels from
  picture to picture, and none of them in up to 17 % of all pairs. The pictures must be the same to
  the bit, for a while. In 270 clips that never lasts for 0.2 s; in the other four the picture
  stands still once, for 0.3 to 0.7 s, and then jumps.
* Encoders that save bits repeat a live picture for seconds. So a source that often repeats its
  pictures, for whatever reason, says nothing by doing it once more.
* Little contrast is no sign either: there are real skies whose shading is half a grey level. But
  each of them has a target, and with it 30 grey levels from the darkest pixel to the brightest.
"""

from __future__ import annotations

import logging

import cv2
import numpy as np

from configs.schema import WatchdogSettings
from streamer.types import Frame

log = logging.getLogger(__name__)

LEAST_REPEATS = 3
"""Pictures equal to the one before: fewer say nothing, however slow the source."""
USUAL_PAIRS = 60
"""The share of repeated pictures is taken over about so many pairs."""
LARGEST_USUAL_SHARE = 0.25
"""A source that repeats more of its pictures than this is never taken as frozen."""
FLAT_LEVELS = 8.0
"""A flat picture's range, darkest to brightest, is no more than this, grey levels of 8 bit ..."""
FLAT_SHARE = 1 / 8
"""... and no more than this share of what it was before."""
RANGE_PICTURES = 15
"""The usual range is that of about so many pictures."""

WARN_SECONDS = 60.0
"""No calibration lasts so long: a warning, and another each time that it is twice as long."""


class FrozenWatch:
    """Looks at all frames of one source in order.

    Args:
        settings: for how long a picture must stand still, and how long one may be flat.
        name: the source's, for log lines.
    """

    def __init__(self, settings: WatchdogSettings, name: str) -> None:
        self._still = _Still(settings.frozen_seconds)
        self._flat = _Flat(settings.flat_seconds)
        self._name = name
        self._frozen_since: float | None = None
        self._warn_after = WARN_SECONDS

    def is_frozen(self, frame: Frame) -> bool:
        """Whether this frame shows nothing new, by its pixels outside the exclusion mask and by its
        timestamp alone: a replay finds the same."""
        still, flat = self._still.sees(frame), self._flat.sees(frame)
        frozen = still or flat
        if frozen and self._frozen_since is None:
            self._frozen_since, self._warn_after = frame.pts_seconds, WARN_SECONDS
            what = "stands still" if still else "is flat"
            log.info(
                "%s: the picture %s (a shutter calibration?): no detections until it lives again",
                self._name,
                what,
            )
        elif not frozen and self._frozen_since is not None:
            lasted = frame.pts_seconds - self._frozen_since
            log.info("%s: the picture lives again after %.1f s", self._name, lasted)
            self._frozen_since = None
        elif frozen and self._frozen_since is not None:
            self._warn(
                frame.pts_seconds - self._frozen_since, "stood still" if still else "been flat"
            )
        return frozen

    def _warn(self, seconds: float, what: str) -> None:
        if seconds < self._warn_after:
            return
        setting = "frozen_seconds" if what == "stood still" else "flat_seconds"
        log.warning(
            "%s: the picture has %s for %.0f s and gives no detections: look at the camera, or "
            "start it anew; source.watchdog.%s=null if such a picture is right",
            self._name,
            what,
            seconds,
            setting,
        )
        while self._warn_after <= seconds:
            self._warn_after *= 2.0


class _Still:
    """Pictures that are the same to the bit."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._last: Frame | None = None
        self._since = 0.0
        self._repeats = 0
        self._usual_share = 0.5  # not known yet: as if it repeated itself
        self._share_before = self._usual_share

    def sees(self, frame: Frame) -> bool:
        last, self._last = self._last, frame
        if self._seconds is None or last is None or not _same(last, frame):
            if last is not None:
                self._usual_share -= self._usual_share / USUAL_PAIRS
            self._share_before = self._usual_share
            self._since, self._repeats = frame.pts_seconds, 0
            return False
        self._repeats += 1
        lasts = frame.pts_seconds - self._since
        long = lasts >= self._seconds - 1e-6 and self._repeats >= LEAST_REPEATS
        if not long:
            self._usual_share += (1.0 - self._usual_share) / USUAL_PAIRS
        return long and self._share_before <= LARGEST_USUAL_SHARE


class _Flat:
    """Pictures without a thing in them, all at once."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._usual: float | None = None
        self._since: float | None = None

    def sees(self, frame: Frame) -> bool:
        if self._seconds is None:
            return False
        mask = None if frame.ignore is None else (~frame.ignore).astype(np.uint8)
        darkest, brightest, _, _ = cv2.minMaxLoc(frame.image, mask)
        spread = brightest - darkest
        flat = self._usual is not None and spread <= FLAT_SHARE * self._usual
        if frame.bit_depth == 8:
            flat = flat and spread <= FLAT_LEVELS
        if flat:
            self._since = frame.pts_seconds if self._since is None else self._since
            if frame.pts_seconds - self._since < self._seconds:
                return True
            self._usual = spread  # no calibration lasts this long: it is the scene
        self._since = None
        usual = spread if self._usual is None else self._usual
        self._usual = usual + (spread - usual) / RANGE_PICTURES
        return False


def _same(one: Frame, other: Frame) -> bool:
    """Whether two pictures have the same pixels where the exclusion mask lets them be seen."""
    if one.image.shape != other.image.shape or one.image.dtype != other.image.dtype:
        return False
    middle = one.height // 2  # most pairs differ in any row: no need to look at them all
    if other.ignore is None:
        return np.array_equal(one.image[middle], other.image[middle]) and np.array_equal(
            one.image, other.image
        )
    return not np.any((one.image != other.image) & ~other.ignore)
