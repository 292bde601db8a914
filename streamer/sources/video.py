"""Video files: every container and codec that FFmpeg reads, 16-bit grey included."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamer.sources.base import Corrupt, Picture, Pictures, RecordedSource
from streamer.sources.clock import StreamClock
from streamer.sources.decoding import (
    METADATA_ERRORS,
    Decoder,
    frame_period,
    reason,
    stated_seconds,
    video_stream,
)
from streamer.sources.pixels import intensity_of
from streamer.types import StreamError

_log = logging.getLogger(__name__)


class VideoSource(RecordedSource):
    """Every frame that a video file holds, in order of display.

    * Timestamps are the stream's own, mended where they cannot be right
      (:class:`~streamer.sources.clock.StreamClock`).
    * A packet that cannot be decoded, and a frame that the decoder marks as damaged, is a corrupt
      frame and uses up an index.
    * A file that ends before what its header declares gives all its frames first; then ``read``
      raises ``StreamError``.
    * ``start_seconds`` and ``end_seconds`` count from the start of the stream, the end itself
      excluded, exact to the frame. The index counts from 0 at the first frame that is given;
      timestamps stay the stream's own.
    """

    @contextmanager
    def _opened(self) -> Iterator[Pictures]:
        start = self._settings.start_seconds
        # Some files cannot be sought in, and some land too late: those are read from the start, and
        # so is a pipe, which a look ahead would empty.
        seek = start > 0 and not self.is_pipe and _can_seek(self._address, start)
        with open_video_file(self._address) as container:
            stream = video_stream(container, self.address)
            if seek:
                _seek(container, stream, start)
            yield self._pictures(_Recording(container, stream, sought=seek))

    def _pictures(self, recording: _Recording) -> Pictures:
        reached = self._settings.start_seconds == 0
        for frame in recording.frames():
            if isinstance(frame, Corrupt):
                if reached:
                    yield frame
                continue
            pts_seconds, position = recording.place(frame)
            if self._is_past_end(position):
                return
            if self._is_before_start(position):
                continue
            reached = True
            image, bit_depth = intensity_of(frame, self._intensity)
            yield Picture(image, bit_depth, pts_seconds, damaged=recording.damaged)
        if early := recording.ends_early():
            raise StreamError(f"{self.address} ends early: {early}; the file is cut off or damaged")


class _Recording:
    """A video stream read from front to back, and how much of it there was."""

    def __init__(self, container: InputContainer, stream: VideoStream, *, sought: bool) -> None:
        self._container = container
        self._stream = stream
        self._sought = sought
        self._period = frame_period(stream)
        self._clock = StreamClock(self._period)
        self._decoder = Decoder(stream)
        self._origin = _origin(stream)
        self._position = 0.0
        self._good = 0
        self._corrupt = 0
        self._skipped = 0
        self._error: str | None = None

    def frames(self) -> Iterator[VideoFrame | Corrupt]:
        """Every frame that can be decoded, to the last one that is still in the decoder."""
        for packet in self._packets():
            for frame in self._decoder(packet):
                self._corrupt += isinstance(frame, Corrupt)
                self._good += not isinstance(frame, Corrupt)
                yield frame

    @property
    def damaged(self) -> bool:
        """Whether the frame given last may be wrong in parts."""
        return self._decoder.damaged

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """The stream's packets, and None at the end, also where reading fails."""
        try:
            for packet in self._container.demux(self._stream):
                self._skipped += packet.is_discard
                if packet.size:
                    yield packet
        except av.FFmpegError as error:
            self._error = reason(error)
        yield None

    def place(self, frame: VideoFrame) -> tuple[float, float]:
        """The frame's timestamp, and its distance from the start of the stream, seconds."""
        pts_seconds = self._clock(stated_seconds(frame, self._stream))
        if self._origin is None:
            self._origin = pts_seconds
        self._position = pts_seconds - self._origin
        return pts_seconds, self._position

    def ends_early(self) -> str | None:
        """After the last frame: how much is missing of what the header declares, if so.

        Both counts and times must fall short, where the header has both: it may count frames that
        an edit list cuts away, or places that an AVI leaves empty.
        """
        declared = 0 if self._sought else self._stream.frames
        missing = declared - self._good - self._corrupt - self._skipped
        fewer = missing > max(2, declared // 100)
        seconds = _declared_seconds(self._container, self._stream)
        # The period as it was: an AVI may declare a finer grid than its frames lie on.
        period = max(self._period, self._position / max(1, self._good - 1))
        end = self._position + period * (1 + self._corrupt)
        shorter = seconds is not None and seconds - end > max(3 * period, 0.01 * seconds)
        if declared and fewer and (shorter or seconds is None):
            return f"{self._good} of {declared} frames could be read"
        if not declared and shorter:
            return f"{end:.1f} of {seconds:.1f} s could be read"
        if self._error is not None:
            return f"after {self._good} frames, {self._error}"
        return None


def open_video_file(address: str) -> InputContainer:
    """The container in a file.

    Raises:
        StreamError: no such file, an empty one, one without the right to read, or no video.
    """
    path = Path(address)
    empty = False
    try:
        empty = path.is_file() and path.stat().st_size == 0
        # "file:" and an absolute path: a name with a colon or a leading dash is still a file.
        address = f"file:{path.resolve(strict=True)}"
        return av.open(address, mode="r", metadata_errors=METADATA_ERRORS)
    except FileNotFoundError as error:
        raise StreamError(
            f"there is no {address}: give a video file, a folder or glob of pictures, "
            "an rtsp:// address, a camera (/dev/video0 or 0) or synthetic:"
        ) from error
    except PermissionError as error:
        raise StreamError(f"{address} cannot be read: permission denied") from error
    except (av.FFmpegError, OSError) as error:
        if empty:
            raise StreamError(f"{address} is empty: it holds no video") from error
        raise StreamError(
            f"{address} cannot be read as a video, it is another kind of file, cut off or damaged: "
            f"{reason(error)}"
        ) from error


def _origin(stream: VideoStream) -> float | None:
    """Where the stream's clock starts, seconds; None if its header does not say."""
    if stream.start_time is None or stream.time_base is None:
        return None
    return float(stream.start_time * stream.time_base)


def _declared_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """The video's length in the header; None where FFmpeg would only estimate it."""
    if stream.frames and stream.average_rate:
        return float(stream.frames / stream.average_rate)
    only_video = len(container.streams) == 1
    if container.format.name.startswith("matroska") and only_video and container.duration:
        return float(container.duration / av.time_base)
    return None


def _seek(container: InputContainer, stream: VideoStream, seconds: float) -> None:
    """Go to the last key frame at or before ``seconds`` from the start of the stream."""
    if stream.start_time is None or stream.time_base is None:
        raise ValueError("the stream has no clock to seek by")
    offset = stream.start_time + int(seconds / stream.time_base)
    container.seek(offset, stream=stream, backward=True)


def _can_seek(address: str, seconds: float) -> bool:
    """Whether seeking lands on a frame that is not later than wished."""
    with open_video_file(address) as container:
        stream = video_stream(container, address)
        origin = _origin(stream)
        if origin is None:
            return False
        try:
            _seek(container, stream, seconds)
            first = next(container.decode(stream), None)
        except av.FFmpegError:
            return False
        stated = None if first is None else stated_seconds(first, stream)
        return stated is not None and stated - origin <= seconds + 1e-6
