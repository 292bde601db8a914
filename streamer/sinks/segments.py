"""A recording as a row of files: PATH, PATH-0002, ... by time, by size, and after an outage."""

from __future__ import annotations

from pathlib import Path

from streamer.sinks.disk import Disk
from streamer.sinks.encoder import Encoder, Moment, Packet
from streamer.sinks.retention import Limits, Retention
from streamer.sinks.video_file import VideoFile
from streamer.sinks.video_output import VideoOutput


class Segments:
    """Writes packets into files, each of which begins with a key frame; none is lost in between.

    Where the disk is full or gone, it stops, and goes on in a new file when it can.

    Args:
        path: of the first file.
        disk: where the files lie.
        limits: of a file.
        retention: is told of every file.
    """

    def __init__(self, path: Path, disk: Disk, limits: Limits, retention: Retention) -> None:
        self._path = path
        self._limits = limits
        self._number = 1
        self._output = VideoOutput(disk, path.stem, retention, self._count)

    @property
    def active(self) -> bool:
        """False in an outage: no packet is wanted."""
        return self._output.file is not None or self._output.ready

    @property
    def wants_key(self) -> bool:
        """True where the next picture should be a key frame: a file is to be begun."""
        return self._due or (self._output.file is None and self._output.ready)

    @property
    def _due(self) -> bool:
        limits, file = self._limits, self._output.file
        return file is not None and (
            (limits.seconds is not None and file.seconds >= limits.seconds)
            or (limits.bytes is not None and file.packet_bytes >= limits.bytes)
        )

    def take(self, packet: Packet, encoder: Encoder) -> None:
        """Write a packet.

        Raises:
            StreamError: the format refuses it.
        """
        if packet.key and self._due:
            self._output.finish()
        if self._output.file is None and packet.key and self._output.ready:
            if not self._output.begin(self._next_path, [packet], encoder):
                self._output.lose(1)
        else:
            self._output.write(packet)

    def miss(self, moment: Moment) -> None:
        """A picture came while not :attr:`active`."""
        self._output.miss(moment)

    def cut(self) -> None:
        """Finish the file; the next packet begins another. Idempotent.

        Raises:
            StreamError: the format refuses to.
        """
        self._output.finish()

    def close(self) -> None:
        """Finish the last file. Idempotent.

        Raises:
            StreamError: the format refuses to.
        """
        self._output.finish()

    def _count(self, _: VideoFile) -> None:
        self._number += 1

    def _next_path(self) -> Path:
        while True:
            path = self._path
            if self._number > 1:
                path = path.with_stem(f"{path.stem}-{self._number:04d}")
            if not path.exists():
                return path
            self._number += 1  # somebody else's: it stays
