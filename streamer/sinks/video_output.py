"""One video file after the other, through outages of the disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from streamer.sinks.disk import Disk
from streamer.sinks.encoder import Encoder, Moment, Packet
from streamer.sinks.retention import Retention
from streamer.sinks.video_file import VideoFile


class VideoOutput:
    """Writes one file at a time. Where the disk is full or gone, the file ends with what is whole
    in it, what cannot be written is counted, and :attr:`ready` says when to begin another.

    Args:
        disk: where the files lie.
        what: the output's name.
        retention: is told of every file.
        done: is told of every file that is finished and stays.
    """

    def __init__(
        self, disk: Disk, what: str, retention: Retention, done: Callable[[VideoFile], None]
    ) -> None:
        self.file: VideoFile | None = None
        """The open one."""
        self._early = 0  # so many packets at its beginning were not to be lost
        self._disk = disk
        self._retention = retention
        self._done = done
        self._output = disk.output(what, needs_room=True)

    @property
    def ready(self) -> bool:
        """Whether a file can be begun now: no outage, or time to try again."""
        return self._output.ready()

    def begin(
        self,
        path: Callable[[], Path],
        packets: Sequence[Packet],
        encoder: Encoder,
        owed: int = 1,
    ) -> int:
        """Begin a file with these packets. Gives how many of them it took, the first ones; none is
        counted as lost here.

        Args:
            path: finds out the file's.
            packets: the first is a key frame.
            encoder: where they come from.
            owed: so many of them, the last ones, are lost if the file should fail later.

        Raises:
            StreamError: the format refuses them.
        """

        def make() -> None:
            self.file = VideoFile(path(), self._disk, encoder, packets[0])

        if not self._output.attempt(self._disk.folder, make):
            return 0
        begun = self.file
        assert begun is not None
        self._early = len(packets)
        for packet in packets:
            if self.file is not begun:  # it failed, or there is no room
                return begun.saved
            self.write(packet)
        if self.file is not begun:
            return begun.saved
        self._early = len(packets) - owed
        return len(packets)

    def write(self, packet: Packet) -> None:
        """Append a packet to the open file, or count it as lost where there is none.

        Raises:
            StreamError: the format refuses it.
        """
        file = self.file
        if file is None:
            self._output.lose()
            return
        saved = file.saved
        if not self._output.attempt(file.path, lambda: file.write(packet)):
            self._give_up(file)
            return
        if file.saved > saved:
            self._output.succeed(file.path)
            self._retention.grow(file.path, file.size, packet.moment.pts_seconds)
        if (lack := self._output.lack_of_room()) is not None:
            self.finish()  # while there is room for its end
            self._output.fail(file.path, lack)

    def miss(self, moment: Moment) -> None:
        """A picture could not be written."""
        self.lose(1)
        self.wait(moment)

    def lose(self, count: int) -> None:
        """So many pictures were not written."""
        self._output.lose(count)

    def wait(self, moment: Moment) -> None:
        """Nothing can be written at this moment."""
        self._retention.enforce(moment.pts_seconds)  # which may make room

    def finish(self) -> None:
        """Finish the open file, if there is one.

        Raises:
            StreamError: the format refuses to.
        """
        file = self.file
        if file is None:
            return
        if self._output.attempt(file.path, file.finish):
            self._output.succeed(file.path)
            self._let_go(file)
        else:
            self._give_up(file)

    def _give_up(self, file: VideoFile) -> None:
        kept = file.discard()
        self._output.lose(max(0, file.frames - max(file.saved, self._early)))
        if kept:
            self._let_go(file)
        else:
            self.file = None
            self._retention.drop(file.path)

    def _let_go(self, file: VideoFile) -> None:
        self.file = None
        self._retention.finish(file.path, file.size, file.last.pts_seconds)
        self._done(file)
