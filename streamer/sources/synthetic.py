"""``synthetic:``: the built-in scene as a source, with its ground truth at hand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qsl

import yaml
from pydantic import ValidationError

from configs.schema import SourceSettings, SyntheticSettings
from streamer.scene import Scene
from streamer.sources.base import BaseSource, Picture, Pictures
from streamer.types import StreamError

SCHEME = "synthetic:"


class SyntheticSource(BaseSource):
    """The scene of ``source.synthetic``, changed by the address: ``synthetic:?snr=4&seed=3``.

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
        return self.scene.settings.live

    @contextmanager
    def _opened(self) -> Iterator[Pictures]:
        self._index = 0
        yield self._pictures()

    def _pictures(self) -> Pictures:
        started = time.monotonic()
        for k in range(self.scene.frames):
            rendered = self.scene.render(k)
            if self.live:
                due = started + rendered.pts_seconds
                if self._interrupted.wait(max(0.0, due - time.monotonic())):
                    return
            yield Picture(rendered.image, self.scene.settings.bit_depth, rendered.pts_seconds)


def _changed(address: str, settings: SyntheticSettings) -> SyntheticSettings:
    query = address.removeprefix(SCHEME).lstrip("/")
    if query and not query.startswith("?"):
        raise StreamError(f"{address}: expected synthetic: or synthetic:?snr=4&targets=8")
    changes = {key: yaml.safe_load(value) for key, value in parse_qsl(query[1:])}
    try:
        return SyntheticSettings.model_validate({**settings.model_dump(), **changes})
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        known = ", ".join(SyntheticSettings.model_fields)
        raise StreamError(
            f"{address}: {key}: {problem['msg'].lower()} (the scene has {known})"
        ) from None
