"""The frames themselves, without loss: FFV1 in Matroska."""

from __future__ import annotations

from pathlib import Path

import av

from configs.schema import RecordSettings
from streamer.sinks.disk import Disk
from streamer.sinks.encoder import Codec, Moment
from streamer.sinks.record import PacketWriter
from streamer.sinks.retention import Limits, Retention
from streamer.sinks.segments import Segments
from streamer.types import FrameResult


class OriginalRecorder:
    """Writes every processed frame into PATH, then PATH-0002, ..., as the detector was given it.

    Pixels of 8 bit become ``gray``, deeper ones ``gray16le`` with their values as they are, white-
    hot. Timestamps are Matroska's, whole milliseconds; each file starts at 0.

    Args:
        path: of the first file, an ``.mkv``.
        settings: when to begin a new file.
        disk: where it lies; None for one of its own.
        retention: shared with the annotated recording; None for one of its own.
        live: the source is a camera.
    """

    name = "original"

    def __init__(
        self,
        path: Path,
        settings: RecordSettings,
        *,
        disk: Disk | None = None,
        retention: Retention | None = None,
        live: bool = False,
    ) -> None:
        limits = Limits.of(settings, live=live)
        retention = retention or Retention(limits)
        self._writer = PacketWriter([Segments(path, disk or Disk(path.parent), limits, retention)])

    def write(self, result: FrameResult) -> None:
        """Append a frame.

        Raises:
            StreamError: it cannot be encoded.
        """
        frame = result.frame
        codec = Codec.lossless(8 * frame.image.dtype.itemsize)
        self._writer.write(
            codec,
            (frame.width, frame.height),
            lambda: av.VideoFrame.from_ndarray(frame.image, format=codec.pixel_format),
            Moment(frame.pts_seconds, frame.utc),
        )

    def close(self) -> None:
        """Finish the file. Idempotent.

        Raises:
            StreamError: what was left could not be encoded.
        """
        self._writer.close()
