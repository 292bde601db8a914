"""What the streams are made of: a rendered clip as a file, and a camera that lives in memory."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from configs.schema import SourceSettings, SyntheticSettings
from streamer.scene import Scene
from streamer.sources.base import BaseSource, Picture, Pictures
from streamer.types import Image

FPS = 30
WIDTH, HEIGHT = 320, 256
_TICKS_PER_SECOND = 600


def render(
    frames: int, *, width: int = WIDTH, height: int = HEIGHT, fps: float = FPS
) -> list[Image]:
    """The first frames of the built-in scene, as large (px) and as fast as asked for."""
    settings = SyntheticSettings(seconds=frames / fps, fps=fps, width=width, height=height)
    scene = Scene(settings)
    return [scene.render(k).image for k in range(frames)]


@contextmanager
def rendered_clip(frames: int) -> Iterator[Path]:
    """An H.264 file of the built-in scene; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="irtrack-bench-") as folder:
        path = Path(folder) / "scene.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=FPS, options={"crf": "18"})
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.codec_context.time_base = Fraction(1, _TICKS_PER_SECOND)
            for index, image in enumerate(render(frames)):
                frame = av.VideoFrame.from_ndarray(_grey(image), format="gray")
                frame = frame.reformat(format="yuv420p")
                frame.pts = index * _TICKS_PER_SECOND // FPS
                frame.time_base = Fraction(1, _TICKS_PER_SECOND)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        yield path


class MemorySource(BaseSource):
    """A live camera whose pictures are ready in memory: it costs next to nothing itself.

    The pictures are shown forwards, backwards, forwards and so on: nothing jumps. The schedule is
    fixed by the moment of opening, and a frame counts as captured when it is due, so that a reader
    who comes late finds the next frames due at once and the delay in their latency.

    Args:
        images: (H, W) uint8 each, two or more; they become read-only.
        name: unique in the run.
        frames: how many it gives before it ends.
        fps: frames per second.
        delay_seconds: from opening to the first frame: real cameras are out of step.
        offset: in the sequence of pictures, so that cameras do not all show the same.
    """

    def __init__(
        self,
        images: Sequence[Image],
        name: str,
        *,
        frames: int,
        fps: float = FPS,
        delay_seconds: float = 0.0,
        offset: int = 0,
    ) -> None:
        super().__init__(f"memory:{name}", SourceSettings(), name)
        self._images = images
        self._frames = frames
        self._fps = fps
        self._delay_seconds = delay_seconds
        self._offset = offset

    @property
    def live(self) -> bool:
        """True: what is not taken in time is dropped, though not by this source."""
        return True

    @contextmanager
    def _opened(self) -> Iterator[Pictures]:
        self._index = 0
        yield self._pictures(time.monotonic() + self._delay_seconds)

    def _pictures(self, began: float) -> Pictures:
        for k in range(self._frames):
            due = began + k / self._fps
            if self._interrupted.wait(max(0.0, due - time.monotonic())):
                return
            image = self._images[back_and_forth(k + self._offset, len(self._images))]
            yield Picture(image, 8, k / self._fps, captured_seconds=due)


def back_and_forth(k: int, count: int) -> int:
    """The ``k``-th of 0, 1, ..., count - 1, count - 2, ..., 0, 1, ...; count is 2 or more."""
    position = k % (2 * count - 2)
    return min(position, 2 * count - 2 - position)


def _grey(image: Image) -> NDArray[np.uint8]:
    return np.asarray(image, dtype=np.uint8)
