"""UVC and V4L2 cameras, 8 bit or the raw 16 bit (Y16) of thermal cores."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable

import av
from av.container import InputContainer

from configs.schema import SourceSettings
from streamer.sources.decoding import reason
from streamer.sources.live import LiveSource
from streamer.types import PermanentError, StreamError

_log = logging.getLogger(__name__)

Opener = Callable[[str, dict[str, str]], InputContainer]
"""Opens a device's path with options of FFmpeg's ``v4l2`` input; raises ``av.FFmpegError``."""

_TIMEOUT_SECONDS = 5.0  # a thermal core that closes its shutter to calibrate is silent for one

_NOT_ABOUT_Y16 = (errno.ENOENT, errno.ENODEV, errno.EBUSY, errno.EACCES, errno.EPERM)


def open_v4l2(device: str, options: dict[str, str]) -> InputContainer:
    """Open a V4L2 device through FFmpeg."""
    return av.open(device, mode="r", format="v4l2", options=options)


class CameraSource(LiveSource):
    """A camera at ``/dev/videoN``; ``N`` alone means the same.

    FFmpeg's own V4L2 input is used rather than OpenCV's: it gives Y16 as ``gray16le`` without a
    conversion in between, the kernel's timestamps of capture, and errors with a reason. With
    ``camera.pixel_format: auto``, Y16 is asked for first and what the camera likes second.

    Its tests run against a fake device (``opener``): a real FFmpeg container of 16-bit grey that is
    no V4L2 device. No real camera was at hand.
    """

    open_timeout_seconds = _TIMEOUT_SECONDS
    read_timeout_seconds = _TIMEOUT_SECONDS

    def __init__(
        self, address: str, settings: SourceSettings, name: str, opener: Opener = open_v4l2
    ) -> None:
        super().__init__(address, settings, name)
        self._device = f"/dev/video{address}" if address.isdecimal() else address
        self._opener = opener

    def _connect(self) -> InputContainer:
        wanted = self._settings.camera.pixel_format
        if wanted == "auto":
            try:
                return self._opener(self._device, self._options(y16=True))
            except av.FFmpegError as error:
                if error.errno in _NOT_ABOUT_Y16:
                    raise self._failure(error) from error
                _log.debug("%s: %s offers no y16: %s", self._name, self._device, reason(error))
        try:
            return self._opener(self._device, self._options(y16=wanted == "y16"))
        except av.FFmpegError as error:
            raise self._failure(error) from error

    def _options(self, *, y16: bool) -> dict[str, str]:
        camera = self._settings.camera
        options = {}
        if y16:
            options["input_format"] = "gray16le"
        if camera.width is not None and camera.height is not None:
            options["video_size"] = f"{camera.width}x{camera.height}"
        if camera.fps is not None:
            options["framerate"] = f"{camera.fps:g}"
        return options

    def _failure(self, error: av.FFmpegError) -> StreamError:
        """The error in words that say what to do."""
        device = self._device
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return StreamError(f"there is no camera at {device}: try ls /dev/video* for what is")
        if error.errno == errno.EBUSY:
            return StreamError(f"the camera {device} is in use by another program: close that")
        if error.errno in (errno.EACCES, errno.EPERM):
            return PermanentError(
                f"the camera {device} may not be read: add your user to the group 'video'"
            )
        camera = self._settings.camera
        asked = f"pixel_format {camera.pixel_format}"
        if camera.width is not None and camera.height is not None:
            asked += f", {camera.width}x{camera.height}"
        if camera.fps is not None:
            asked += f", {camera.fps:g} fps"
        return StreamError(
            f"the camera {device} cannot be opened with {asked}: {reason(error)}; "
            f"see what it offers: v4l2-ctl --device {device} --list-formats-ext"
        )
