"""``synthetic:``: the built-in scene as a source, with its ground truth at hand."""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qsl

from pydantic import ValidationError

from configs.schema import SourceSettings, SyntheticSettings
from streamer.redact import redact
from streamer.scene import Scene
from streamer.sources.base import BaseSource, Picture, Pictures
from streamer.types import StreamError

SCHEME = "synthetic:"


class SyntheticSource(BaseSource):
    """The scene of ``source.synthetic``, changed by the address: ``synthetic:?snr=4&targets=8``.

    A frame's index is its number in the scene. It is white-hot, whatever ``source.polarity`` says
    of cameras, and begins at its beginning: ``source.start_seconds`` is for recordings.

    Raises:
        StreamError: the address asks for what the scene does not have.
    """

    def __init__(self, address: str, settings: SourceSettings, name: str) -> None:
        super().__init__(address, settings, name)
        self.scene = Scene(_changed(address, settings.synthetic))
        """What is rendered, for whoever wants the truth."""

    @property
    def live(self) -> bool:
        """True where the scene runs at its own pace."""
        return self.scene.settings.live or self._settings.pace == "realtime"

    @contextmanager
    def _opened(self) -> Iterator[Pictures]:
        self._index = 0
        yield self._pictures()

    def _pictures(self) -> Pictures:
        started = time.monotonic()
        for k in range(self.scene.frames):
            rendered = self.scene.render(k)
            if self.live:
                # The schedule is fixed by the start: a reader that comes late finds the next
                # frames due at once, as a camera would have sent them.
                due = started + rendered.pts_seconds
                if self._interrupted.wait(max(0.0, due - time.monotonic())):
                    return
            yield Picture(rendered.image, self.scene.settings.bit_depth, rendered.pts_seconds)


def _changed(address: str, settings: SyntheticSettings) -> SyntheticSettings:
    """The settings with what stands behind the address's question mark."""
    shown = redact(address)
    rest, _, query = address.removeprefix(SCHEME).partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        rest = query
        pairs = []
    if rest.strip("/"):
        raise StreamError(f"{shown}: expected synthetic: or, say, synthetic:?snr=4&targets=8")
    known = list(SyntheticSettings.model_fields)
    for key, _ in pairs:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise StreamError(
                f"{shown}: the scene has no setting {key}{meant} (it has {', '.join(known)})"
            )
    changes = {key: _value(text) for key, text in pairs}
    try:
        return SyntheticSettings.model_validate({**settings.model_dump(), **changes})
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        allowed = problem["msg"][0].lower() + problem["msg"][1:]
        raise StreamError(f"{shown}: {key}={problem['input']} is refused: {allowed}") from None


def _value(text: str) -> object:
    """A number or true or false where the text is one, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
