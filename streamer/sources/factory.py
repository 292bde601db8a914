"""Which source an address means, and what it is called."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from configs.schema import SourceSettings
from streamer.protocols import Source
from streamer.redact import HIDDEN, redact
from streamer.sources.base import RecordedSource
from streamer.sources.camera import CameraSource
from streamer.sources.folder import FolderSource
from streamer.sources.images import IMAGE_SUFFIXES
from streamer.sources.network import NETWORK_SCHEMES, NetworkSource
from streamer.sources.synthetic import SCHEME as SYNTHETIC_SCHEME
from streamer.sources.synthetic import SyntheticSource
from streamer.sources.video import VideoSource
from streamer.types import StreamError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
_CAMERA = re.compile(r"\d{1,3}|/dev/video\d+|/dev/v4l/.+")
_GLOB = re.compile(r"[*?\[]")
_LONGEST_NAME = 60


def open_source(address: str, settings: SourceSettings, name: str) -> Source:
    """The source that an address means, not yet opened.

    Args:
        address: a video file, a folder, a glob, a picture, ``rtsp://...`` or another network
            address, ``/dev/video0`` or ``0``, or ``synthetic:``.
        settings: the settings of sources.
        name: unique in the run; see :func:`source_names`.

    Raises:
        ValueError: the address is empty or begins with a scheme that is not known. Whether there
            is anything at the address shows when the source is opened.
        StreamError: the parameters of ``synthetic:`` are not the scene's.
    """
    if not address.strip():
        raise ValueError("a source is empty: give a file, a folder, rtsp://..., 0 or synthetic:")
    if address.startswith(SYNTHETIC_SCHEME):
        return SyntheticSource(address, settings, name)
    scheme = _SCHEME.match(address)
    if scheme is not None:
        if scheme[1].lower() not in NETWORK_SCHEMES:
            raise ValueError(
                f"{redact(address)} begins with {scheme[1]}://, expected one of "
                + ", ".join(f"{known}://" for known in NETWORK_SCHEMES)
            )
        return NetworkSource(address, settings, name)
    if _CAMERA.fullmatch(address) and not _is_file(address):
        return CameraSource(address, settings, name)
    if _holds_pictures(address):
        return FolderSource(address, settings, name)
    return VideoSource(address, settings, name)


def probe(sources: Sequence[Source]) -> None:
    """Fail early where nothing can be read from any source: a mistyped path shows at once.

    Where one of several can be read, the run goes on with that one. A camera or a network address
    always counts as one that can, for it may come up later, and so does a pipe: what a look at it
    read would be gone.

    Raises:
        StreamError: every source is a recording that cannot be opened; a line each.
    """
    problems = []
    for source in sources:
        if not isinstance(source, RecordedSource) or source.is_pipe:
            return
        try:
            source.probe()
        except StreamError as error:
            problems.append(str(error))
        else:
            return
    raise StreamError("\n".join(problems))


def source_names(addresses: Sequence[str]) -> list[str]:
    """A name for each address: readable, different from the others', fit for a file name on every
    system, without user, password or parameters."""
    names: list[str] = []
    taken: set[str] = set()
    for address in addresses:
        base = _readable_name(address)
        name, count = base, 1
        while name.lower() in taken:
            count += 1
            name = f"{base}-{count}"
        taken.add(name.lower())
        names.append(name)
    return names


def _is_file(address: str) -> bool:
    # os.path and not Path: it answers False, too, where a name is too long or a folder is closed.
    return os.path.isfile(address)  # noqa: PTH113


def _holds_pictures(address: str) -> bool:
    """Whether it is a folder, a picture, or a pattern of pictures."""
    if os.path.isdir(address):  # noqa: PTH112
        return True
    if _is_file(address):
        return Path(address).suffix.lower() in IMAGE_SUFFIXES
    return _GLOB.search(address) is not None


def _readable_name(address: str) -> str:
    if _SCHEME.match(address):
        rest = redact(address).partition("://")[2].removeprefix(f"{HIDDEN}@")
        text = re.split(r"[?#]", rest, maxsplit=1)[0]
    elif address.startswith(SYNTHETIC_SCHEME):
        text = "synthetic"
    elif _CAMERA.fullmatch(address):
        text = f"video{address}" if address.isdecimal() else Path(address).name
    elif _GLOB.search(address) and not os.path.exists(address):  # noqa: PTH110
        plain = [part for part in Path(address).parts if not _GLOB.search(part)]
        text = plain[-1] if plain else "pictures"
    else:
        path = Path(redact(address))  # a mistyped scheme lands here, too
        text = path.name if os.path.isdir(address) else path.stem  # noqa: PTH112
        text = text or path.resolve().name  # "." and ".."
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:_LONGEST_NAME].rstrip("-._")
    return safe or "source"
