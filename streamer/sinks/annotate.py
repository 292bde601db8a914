"""Draws each frame once, and hands the picture to whoever wants it: the recording, the window."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamer.overlay import Overlay
from streamer.sinks.record import Recorder
from streamer.sinks.window import Window
from streamer.types import FrameResult


class Annotator:
    """Draws, records and shows."""

    name = "annotate"

    def __init__(
        self, overlay: Overlay, *, recorder: Recorder | None, window: Window | None
    ) -> None:
        """Make the sink.

        Args:
            overlay: of this source alone.
            recorder: takes every picture; closed with the sink.
            window: takes the latest picture; left open: it belongs to the main thread.
        """
        self._overlay = overlay
        self._recorder = recorder
        self._window = window
        self._kind: tuple[tuple[int, ...], np.dtype[Any]] | None = None

    def write(self, result: FrameResult) -> None:
        """Draw the frame and pass it on.

        Raises:
            StreamError: it cannot be recorded.
        """
        picture = self._overlay.draw(result)
        if self._recorder is not None:
            frame, tracks = result.frame, result.tracks
            kind = (frame.image.shape, frame.image.dtype)
            if self._kind is not None and kind != self._kind:
                self._recorder.cut()
            self._kind = kind
            shown = tracks.track_id[tracks.reported].tolist()
            self._recorder.write(picture, frame.pts_seconds, frame.utc, shown)
        if self._window is not None:
            self._window.offer(result.frame.source, picture)

    def close(self) -> None:
        """Finish the recording. Idempotent.

        Raises:
            StreamError: what was left could not be written.
        """
        if self._recorder is not None:
            self._recorder.close()
