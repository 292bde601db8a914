"""Network streams: RTSP and RTSPS cameras, and what else FFmpeg receives live."""

from __future__ import annotations

import os
import time

import av
from av.container import InputContainer

from configs.schema import SourceSettings
from streamer.sources.decoding import METADATA_ERRORS, reason
from streamer.sources.live import LiveSource
from streamer.types import PermanentError, StreamError

NETWORK_SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "rtp", "srt", "tcp")
"""Addresses that begin with one of these and ``://`` are network streams."""

_END_SLACK_SECONDS = 1.0


class NetworkSource(LiveSource):
    """An RTSP or RTSPS camera; also HTTP (MJPEG, HLS), MPEG-TS over UDP, RTP, SRT, TCP, and RTMP.

    Opening and silence are limited by ``source.rtsp.open_timeout_seconds`` and
    ``read_timeout_seconds``, whatever the protocol. A camera's stream has no end: if it ends all
    the same, that is an error, and opening it again may help. A server that replays a recording
    says how long it is; its end is the end.
    """

    def __init__(self, address: str, settings: SourceSettings, name: str) -> None:
        super().__init__(address, settings, name)
        self.open_timeout_seconds = settings.rtsp.open_timeout_seconds
        self.read_timeout_seconds = settings.rtsp.read_timeout_seconds

    def _connect(self) -> InputContainer:
        options = self._options()
        began = time.monotonic()
        try:
            container = av.open(
                self._address,
                mode="r",
                options=options,
                timeout=(self.open_timeout_seconds, self.read_timeout_seconds),
                metadata_errors=METADATA_ERRORS,
            )
        except av.error.HTTPUnauthorizedError as error:
            raise PermanentError(f"{self.address} refuses this user and password") from error
        except av.error.ProtocolNotFoundError as error:
            raise PermanentError(
                f"{self.address} cannot be opened: the FFmpeg inside PyAV was built without "
                f"{self._scheme}; use rtsp, or PyAV built against an FFmpeg that has it"
            ) from error
        # PyAV's own exceptions are of several families: this is all of them.
        except (av.FFmpegError, ValueError) as error:
            # An interrupted handshake comes as any error, "invalid data" for one.
            if time.monotonic() - began >= self.open_timeout_seconds:
                raise StreamError(
                    f"{self.address} gave no answer in {self.open_timeout_seconds:g} s: is the "
                    "camera on, and the address right?"
                ) from error
            why = reason(error) if isinstance(error, av.FFmpegError) else "not a usable address"
            raise StreamError(f"{self.address} cannot be opened: {why}") from error
        if self._scheme in ("http", "https") and container.duration:
            container.close()
            raise PermanentError(
                f"{self.address} is a recording, not a live stream: download it and give the "
                "file, so that no frame is lost"
            )
        return container

    @property
    def _scheme(self) -> str:
        return self._address.partition("://")[0].lower()

    def _options(self) -> dict[str, str]:
        """Options of FFmpeg's protocols, and of its probing.

        Frames that arrive while FFmpeg looks for the frame rate would all be late, so it does not
        look. ``nobuffer`` is not among them: it throws the first key frame away, and the picture
        starts with the next, seconds later.
        """
        settings = self._settings.rtsp
        options = {"analyzeduration": "1000000", "fpsprobesize": "0"}
        if self._scheme in ("rtsp", "rtsps"):
            options["rtsp_transport"] = settings.transport
            options["timeout"] = str(round(settings.read_timeout_seconds * 1e6))
        if self._scheme in ("rtsps", "https"):
            options["tls_verify"] = "1" if settings.tls_verify else "0"
            if (authorities := settings.tls_ca_file) is not None:
                # FFmpeg would only say that the connection failed.
                if not os.path.isfile(authorities):  # noqa: PTH113 (a name may be too long for Path)
                    raise PermanentError(
                        f"{authorities} is no file that can be read: give the certificates to "
                        "trust, PEM, in source.rtsp.tls_ca_file"
                    )
                options["ca_file"] = str(authorities)
        return options

    def _check_end(self, container: InputContainer, seconds: float) -> None:
        declared = container.duration / av.time_base if container.duration else None
        if declared is None or seconds < declared - _END_SLACK_SECONDS:
            super()._check_end(container, seconds)
