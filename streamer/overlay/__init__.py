"""The annotated picture: contrast for the eye, tracks, labels, a zoom inset and a status line."""

from streamer.overlay.overlay import Overlay

__all__ = ["Overlay"]
