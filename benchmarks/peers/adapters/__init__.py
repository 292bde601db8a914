"""The trackers, ours among them, as one kind of thing: detections of a frame in, tracks out."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, cast

from benchmarks.peers.exchange import Parameter, Reported, Stream
from streamer.types import Detections

MODULES = {
    "ours": "ours",
    "sort": "roboflow",
    "bytetrack": "roboflow",
    "ocsort": "roboflow",
    "norfair": "norfair_points",
    "stonesoup": "stonesoup_gnn",
}
"""Each tracker's module here: it is imported only where its package is."""


class PeerTracker(Protocol):
    """A tracker of one stream."""

    def step(self, detections: Detections) -> Reported:
        """Take in the detections of the next frame that arrived."""
        ...


def build_peer(name: str, stream: Stream, parameters: Mapping[str, Parameter]) -> PeerTracker:
    """A fresh tracker.

    Args:
        name: a key of ``MODULES``.
        stream: whose nominal frame rate and size it may know.
        parameters: those of its space (``benchmarks.peers.spaces``).
    """
    module = import_module(f"{__name__}.{MODULES[name]}")
    return cast(PeerTracker, module.build(name, stream, parameters))
