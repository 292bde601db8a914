"""What flows through the pipeline: frames, detections, tracks and the result of a frame.

Conventions, for every type here:

* pixels are those of the source's own picture, x to the right, y down, and an integer is a pixel's
  *centre*: a target of one pixel at (10, 20) has the box ``[9.5, 19.5, 10.5, 20.5]``;
* many objects are one struct of arrays, never a list of objects, and an empty one is valid;
* time is seconds of the stream's own clock (``pts_seconds``); nothing assumes a frame rate;
* arrays are checked once, when the object is made, and are read-only from then on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8] | NDArray[np.uint16]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


MAX_PIXELS = 2**25
"""Of a picture, whatever it comes from: 8192x4096, with which 8K fits. Larger ones are refused, as
some dozens of pictures wait between the threads and must not fill the memory."""

_HINT_SIGMAS = 3.0
"""How many standard deviations of its position a track's hint reaches."""


def _read_only(
    owner: str, name: str, value: object, shape: tuple[int | None, ...], dtype: type
) -> NDArray[np.generic]:
    """``value`` as a read-only array of ``dtype``, or a ValueError that names the field."""
    array: NDArray[np.generic] = np.array(value, dtype=dtype)
    fits = array.ndim == len(shape) and all(
        want is None or have == want for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"{owner}.{name} has shape {array.shape}, expected ({wanted})")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of one source, as white-hot intensity.

    Raises:
        ValueError: the image is not a 2-D uint8 or uint16 array, or a number is out of range.
    """

    image: Image
    """(H, W) uint8 or uint16, read-only; brighter is hotter, whatever the camera's polarity."""
    bit_depth: int
    """Significant bits of a pixel: 8 for uint8; up to 16 for uint16."""
    index: int
    """Position in the source, from 0. A gap is a frame that was dropped or corrupt."""
    pts_seconds: float
    """The stream's own clock, seconds."""
    utc: float
    """Wall clock of capture, seconds since 1970: the RTCP sender report's, else arrival."""
    captured_seconds: float
    """``time.monotonic()`` when the frame left its source. For latency only."""
    source: str
    """The source's name: unique in a run, free of passwords."""
    ignore: BoolArray | None = None
    """(H, W) True where the user's exclusion mask silences detections, or None."""
    frozen: bool = False
    """True where the picture shows nothing new: a thermal camera calibrates. It gives no detections
    and tracks coast."""
    damaged: bool = False
    """True where the stream was damaged and no key frame has come since: parts of the picture may
    be wrong."""

    def __post_init__(self) -> None:
        image = self.image
        if image.ndim != 2 or image.dtype not in (np.uint8, np.uint16) or image.size == 0:
            raise ValueError(
                f"Frame.image has shape {image.shape} and type {image.dtype}, "
                "expected a non-empty (H, W) of uint8 or uint16"
            )
        if not 1 <= self.bit_depth <= image.dtype.itemsize * 8:
            raise ValueError(f"Frame.bit_depth is {self.bit_depth} for pixels of {image.dtype}")
        if self.index < 0:
            raise ValueError(f"Frame.index is {self.index}, expected 0 or more")
        if not np.isfinite(self.pts_seconds):
            raise ValueError(f"Frame.pts_seconds is {self.pts_seconds}, expected a finite number")
        if self.ignore is not None and self.ignore.shape != image.shape:
            raise ValueError(
                f"Frame.ignore has shape {self.ignore.shape}, the image has {image.shape}"
            )
        image.setflags(write=False)

    @property
    def height(self) -> int:
        """Rows, px."""
        return int(self.image.shape[0])

    @property
    def width(self) -> int:
        """Columns, px."""
        return int(self.image.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Everything the detector saw above its low threshold in one frame.

    Raises:
        ValueError: an array's shape does not agree with the others'.
    """

    xy: FloatArray
    """(N, 2) sub-pixel centroids, px."""
    boxes_xyxy: FloatArray
    """(N, 4) continuous edges x0, y0, x1, y1, px."""
    score: FloatArray
    """(N,) the network's peak probability in the component, 0..1."""
    area_px: FloatArray
    """(N,) the component's area, px."""
    peak_snr: FloatArray
    """(N,) peak over the local background, in the local background's standard deviations."""
    extended: BoolArray
    """(N,) True where the component is too large or too elongated to be a small target. It is
    reported all the same, whole, and left to the tracker's settings."""
    frame_index: int
    pts_seconds: float

    def __post_init__(self) -> None:
        count = len(self.xy)
        for name, shape, dtype in (
            ("xy", (None, 2), np.float64),
            ("boxes_xyxy", (count, 4), np.float64),
            ("score", (count,), np.float64),
            ("area_px", (count,), np.float64),
            ("peak_snr", (count,), np.float64),
            ("extended", (count,), np.bool_),
        ):
            array = _read_only("Detections", name, getattr(self, name), shape, dtype)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.xy)

    @classmethod
    def empty(cls, frame_index: int, pts_seconds: float) -> Detections:
        """No detections in this frame."""
        return cls(
            xy=np.empty((0, 2)),
            boxes_xyxy=np.empty((0, 4)),
            score=np.empty(0),
            area_px=np.empty(0),
            peak_snr=np.empty(0),
            extended=np.empty(0, dtype=np.bool_),
            frame_index=frame_index,
            pts_seconds=pts_seconds,
        )


class TrackState(IntEnum):
    """Where a track is in its life."""

    TENTATIVE = 0
    CONFIRMED = 1
    COASTING = 2

    @property
    def label(self) -> str:
        """The state's name as logs write it: ``tentative``, ``confirmed`` or ``coasting``."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, eq=False)
class FilterStates:
    """What the filter knows of a frame's tracks, and how it got there from the frame before: all
    that a smoother needs.

    A state ``s`` of the frame before was predicted as ``transition @ s + offset``, its covariance
    ``P`` as ``transition @ P @ transition.T`` plus its ``process_noise``. The camera's own motion
    is in it.

    Raises:
        ValueError: an array's shape does not agree with the others'.
    """

    mean: FloatArray
    """(M, D) states, of which the first two are the position, px."""
    cov: FloatArray
    """(M, D, D) their covariances."""
    transition: FloatArray
    """(D, D)"""
    offset: FloatArray
    """(D,)"""
    process_noise: FloatArray
    """(M, D, D) what was added to each; of no meaning for tracks that were not there before."""

    def __post_init__(self) -> None:
        count, size = self.mean.shape
        for name, shape in (
            ("mean", (count, size)),
            ("cov", (count, size, size)),
            ("transition", (size, size)),
            ("offset", (size,)),
            ("process_noise", (count, size, size)),
        ):
            array = _read_only("FilterStates", name, getattr(self, name), shape, np.float64)
            object.__setattr__(self, name, array)


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """Every live track as known at one frame.

    Raises:
        ValueError: an array's shape does not agree with the others'.
    """

    track_id: IntArray
    """(M,) from 1. An id that is gone comes back only with a target that is found again."""
    xy: FloatArray
    """(M, 2) position, px."""
    velocity: FloatArray
    """(M, 2) px/s in the picture: what the camera's own motion adds is part of it."""
    position_cov: FloatArray
    """(M, 2, 2) covariance of ``xy``, px^2."""
    boxes_xyxy: FloatArray
    """(M, 4) the target's last seen size, centred on ``xy``; continuous edges, px."""
    score: FloatArray
    """(M,) running confidence that this is a target, 0..1."""
    state: IntArray
    """(M,) values of :class:`TrackState`."""
    age_seconds: FloatArray
    """(M,) since the track's first detection."""
    seconds_since_update: FloatArray
    """(M,) since its last detection: 0 in the frame of an update."""
    detection_index: IntArray
    """(M,) which of the frame's detections updated it; -1 where none did."""
    filtered: FilterStates | None = None
    """The same tracks' states in the filter; None where the tracker does not tell."""

    def __post_init__(self) -> None:
        count = len(self.track_id)
        if self.filtered is not None and len(self.filtered.mean) != count:
            raise ValueError(
                f"Tracks.filtered has {len(self.filtered.mean)} states, expected {count}"
            )
        for name, shape, dtype in (
            ("track_id", (None,), np.int64),
            ("xy", (count, 2), np.float64),
            ("velocity", (count, 2), np.float64),
            ("position_cov", (count, 2, 2), np.float64),
            ("boxes_xyxy", (count, 4), np.float64),
            ("score", (count,), np.float64),
            ("state", (count,), np.int64),
            ("age_seconds", (count,), np.float64),
            ("seconds_since_update", (count,), np.float64),
            ("detection_index", (count,), np.int64),
        ):
            array = _read_only("Tracks", name, getattr(self, name), shape, dtype)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.track_id)

    @property
    def reported(self) -> BoolArray:
        """(M,) True for confirmed and coasting tracks: what users see and logs count."""
        return np.asarray(self.state != TrackState.TENTATIVE, dtype=np.bool_)

    @classmethod
    def empty(cls) -> Tracks:
        """No tracks."""
        return cls(
            track_id=np.empty(0, dtype=np.int64),
            xy=np.empty((0, 2)),
            velocity=np.empty((0, 2)),
            position_cov=np.empty((0, 2, 2)),
            boxes_xyxy=np.empty((0, 4)),
            score=np.empty(0),
            state=np.empty(0, dtype=np.int64),
            age_seconds=np.empty(0),
            seconds_since_update=np.empty(0),
            detection_index=np.empty(0, dtype=np.int64),
        )


@dataclass(frozen=True, slots=True, eq=False)
class SmoothedTracks:
    """Tracks in frames of the past, as known later: one row a track and frame.

    Raises:
        ValueError: an array's shape does not agree with the others'.
    """

    frame_index: IntArray
    """(K,)"""
    track_id: IntArray
    """(K,)"""
    boxes_xyxy: FloatArray
    """(K, 4) as large as was known at that frame, centred on the smoothed position; px."""
    score: FloatArray
    """(K,) running confidence at that frame, 0..1."""

    def __post_init__(self) -> None:
        count = len(self.frame_index)
        for name, shape, dtype in (
            ("frame_index", (None,), np.int64),
            ("track_id", (count,), np.int64),
            ("boxes_xyxy", (count, 4), np.float64),
            ("score", (count,), np.float64),
        ):
            array = _read_only("SmoothedTracks", name, getattr(self, name), shape, dtype)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.frame_index)


@dataclass(frozen=True, slots=True, eq=False)
class FocusHints:
    """Where tracks are expected in a frame: what flows back from the tracker to the detector.

    Most important first: confirmed tracks, then coasting, then tentative ones.

    Raises:
        ValueError: an array's shape does not agree with the others'.
    """

    xy: FloatArray
    """(K, 2) expected positions, px."""
    radius_px: FloatArray
    """(K,) how far from there the target may be: its extent and its uncertainty."""
    frame_index: int
    """The frame for which they hold."""

    def __post_init__(self) -> None:
        count = len(self.xy)
        for name, shape in (("xy", (None, 2)), ("radius_px", (count,))):
            array = _read_only("FocusHints", name, getattr(self, name), shape, np.float64)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.xy)

    @classmethod
    def empty(cls, frame_index: int) -> FocusHints:
        """No track is expected in this frame."""
        return cls(np.empty((0, 2)), np.empty(0), frame_index)

    @classmethod
    def from_tracks(cls, tracks: Tracks, elapsed_seconds: float, frame_index: int) -> FocusHints:
        """Where tracks will be, at constant velocity.

        Args:
            tracks: as known at some earlier frame.
            elapsed_seconds: from that frame to this one.
            frame_index: this frame's.
        """
        if not len(tracks):
            return cls.empty(frame_index)
        urgency = np.empty(len(TrackState), dtype=np.int64)
        urgency[[TrackState.CONFIRMED, TrackState.COASTING, TrackState.TENTATIVE]] = 0, 1, 2
        order = np.lexsort((-tracks.score, urgency[tracks.state]))
        xy = tracks.xy + tracks.velocity * elapsed_seconds
        variance = np.linalg.eigvalsh(tracks.position_cov)[:, -1]
        extent = (tracks.boxes_xyxy[:, 2:] - tracks.boxes_xyxy[:, :2]).max(axis=1) / 2
        radius = extent + _HINT_SIGMAS * np.sqrt(np.maximum(variance, 0.0))
        return cls(xy[order], radius[order], frame_index)


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """A processed frame and what was found in it: what every sink receives, in frame order."""

    frame: Frame
    detections: Detections
    tracks: Tracks
    stage_seconds: dict[str, float] = field(default_factory=dict)
    """How long each stage took with this frame; ``latency`` is capture to tracks."""


class StreamError(Exception):
    """A source or a component failed. The message is one line, for the person who reads it, says
    what was given and what to do, and holds no password."""


class PermanentError(StreamError):
    """What opening a source again cannot mend: the address, a setting or a file must change."""
