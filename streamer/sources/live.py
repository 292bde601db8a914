"""Live streams: a thread of their own takes pictures in, so that whoever reads can be woken."""

from __future__ import annotations

import logging
import math
import struct
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from configs.schema import SourceSettings
from streamer.sources.base import BaseSource, Corrupt, Picture, Pictures
from streamer.sources.clock import StreamClock
from streamer.sources.decoding import Decoder, frame_period, reason, stated_seconds, video_stream
from streamer.sources.pixels import intensity_of
from streamer.types import StreamError

_log = logging.getLogger(__name__)

_ROOM = 16  # pictures between the two threads; what drops frames is the pipeline's own queue
_GRACE_SECONDS = 1.0  # FFmpeg's own timeouts come first: they say more


class _Opened:
    """Handed over once, when the stream is open."""


Item = Picture | Corrupt | _Opened | BaseException | None
"""What the thread hands over. An exception ends the stream by an error, None in peace."""


class _Handover:
    """A short queue between the thread that takes in and the one that reads."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._change = threading.Condition()
        self._over = False
        self._data_seconds = -math.inf

    def note_data(self) -> None:
        """Data came, though perhaps no picture: there is no silence."""
        self._data_seconds = time.monotonic()

    def put(self, item: Item) -> bool:
        """Hand over; waits for room. False once it is over."""
        with self._change:
            self._change.wait_for(lambda: self._over or len(self._items) < _ROOM)
            if not self._over:
                self._items.append(item)
                self._change.notify_all()
            return not self._over

    def take(self, timeout_seconds: float) -> Item:
        """The next item.

        Raises:
            TimeoutError: for so long none came, and no data either.
            InterruptedError: it is over.
        """
        began = time.monotonic()
        with self._change:
            while not (self._over or self._items):
                left = max(began, self._data_seconds) + timeout_seconds - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                self._change.wait(left)
            if self._over:
                raise InterruptedError
            self._change.notify_all()
            return self._items.popleft()

    def end(self) -> None:
        """Wake both sides for good."""
        with self._change:
            self._over = True
            self._change.notify_all()


class LiveSource(BaseSource):
    """A stream that does not wait: a camera on the network or on a cable.

    FFmpeg's calls block, and some drivers know no timeout. So they are made in a daemon thread that
    hands pictures over; ``open`` and ``read`` wait for it with a limit, and ``interrupt`` ends
    either at once. A thread that hangs in a driver is left behind.

    The index and the count of corrupt frames go on when the source is opened again. Timestamps are
    the stream's own, which then usually start anew: they only rise within one opening. ``utc`` is
    the RTCP sender report's as soon as there was one, until then, and in other streams, the time of
    arrival; a camera whose clock is wrong says so in it.
    """

    open_timeout_seconds: float
    """How long opening may take."""
    read_timeout_seconds: float
    """How long the stream may be silent."""

    def __init__(self, address: str, settings: SourceSettings, name: str) -> None:
        super().__init__(address, settings, name)
        self._handover: _Handover | None = None

    @property
    def live(self) -> bool:
        """True."""
        return True

    @property
    def can_reconnect(self) -> bool:
        """True: a camera may come back."""
        return True

    def interrupt(self) -> None:
        """Make an ``open`` or a ``read`` that waits end soon. It holds until ``close``."""
        super().interrupt()
        if (handover := self._handover) is not None:
            handover.end()

    @abstractmethod
    def _connect(self) -> InputContainer:
        """Open the stream. It may block: it is called in the thread.

        Raises:
            StreamError: it cannot be opened.
        """

    def _check_end(self, container: InputContainer, seconds: float) -> None:
        """Called at the end of the stream, ``seconds`` after its first frame.

        Raises:
            StreamError: it should not have ended; opening it again may help.
        """
        raise StreamError(f"{self.address} sends no more")

    @contextmanager
    def _opened(self) -> Iterator[Pictures]:
        handover = self._handover = _Handover()
        if self._interrupted.is_set():  # before the handover was there to be told
            handover.end()
        threading.Thread(
            target=self._take_in, args=(handover,), name=f"take in {self._name}", daemon=True
        ).start()
        try:
            first = self._next(handover, self.open_timeout_seconds, "could not be opened")
            if first is None:
                raise StreamError(f"opening {self.address} was interrupted")
            yield self._pictures(handover)
        finally:
            handover.end()
            self._handover = None

    def _pictures(self, handover: _Handover) -> Pictures:
        while item := self._next(handover, self.read_timeout_seconds, "sent nothing"):
            if not isinstance(item, _Opened):
                yield item

    def _next(
        self, handover: _Handover, timeout_seconds: float, failure: str
    ) -> Picture | Corrupt | _Opened | None:
        """What comes next, or None at the end and after an interruption."""
        try:
            item = handover.take(timeout_seconds + _GRACE_SECONDS)
        except InterruptedError:
            return None
        except TimeoutError as error:
            raise StreamError(f"{self.address} {failure} in {timeout_seconds:g} s") from error
        if isinstance(item, BaseException):
            raise item
        return item

    def _take_in(self, handover: _Handover) -> None:
        """The thread: every picture, every error and the end go to the other side."""
        try:
            with self._connect() as container:
                stream = video_stream(container, self.address)
                handover.put(_Opened())
                for picture in self._decoded(container, stream, handover.note_data):
                    if not handover.put(picture):
                        return
            handover.put(None)
        except BaseException as error:
            handover.put(error)

    def _decoded(
        self, container: InputContainer, stream: VideoStream, note_data: Callable[[], None]
    ) -> Pictures:
        clock = StreamClock(frame_period(stream))
        decoder = Decoder(stream)
        first = last = None
        utc_minus_pts: float | None = None
        try:
            for packet in _packets(container, stream):
                note_data()
                if packet is not None:
                    utc_minus_pts = _utc_minus_pts(packet, utc_minus_pts)
                for frame in decoder(packet):
                    if isinstance(frame, Corrupt):
                        yield frame
                        continue
                    stated = stated_seconds(frame, stream)
                    last = clock(stated)
                    first = last if first is None else first
                    image, depth = intensity_of(
                        frame, self._intensity, self._settings.camera.bit_depth
                    )
                    utc = time.time()
                    if stated is not None and utc_minus_pts is not None:
                        utc = stated + utc_minus_pts
                    now = time.monotonic()
                    yield Picture(image, depth, last, utc, now, damaged=decoder.damaged)
        except av.FFmpegError as error:
            raise StreamError(f"{self.address} broke off: {reason(error)}") from error
        self._check_end(container, 0.0 if first is None or last is None else last - first)


def _packets(
    container: InputContainer, stream: VideoStream
) -> Iterator[Packet[VideoStream] | None]:
    """The packets, and None at the end. Empty ones, as MJPEG cameras may send, are left out: they
    would end the decoder, and nothing after them could be decoded."""
    for packet in container.demux(stream):
        if packet.size:
            yield packet
    yield None


def _utc_minus_pts(packet: Packet[VideoStream], before: float | None) -> float | None:
    """How far the wall clock of capture is ahead of the stream's: from the RTCP sender report, with
    which FFmpeg marks packets (``AVProducerReferenceTime``: microseconds since 1970)."""
    if packet.pts is None or not packet.has_sidedata("prft"):
        return before
    microseconds: int = struct.unpack_from("=q", bytes(packet.get_sidedata("prft")))[0]
    if microseconds <= 0:  # a sender without a clock reports zero
        return before
    return microseconds / 1e6 - float(packet.pts * packet.time_base)
