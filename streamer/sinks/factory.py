"""Which sinks a source gets: the one place that knows them all."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from configs.schema import StreamSettings
from streamer.overlay import Overlay
from streamer.protocols import Sink
from streamer.sinks.annotate import Annotator
from streamer.sinks.events import EventSink
from streamer.sinks.frames_jsonl import FramesLog
from streamer.sinks.record import Recorder
from streamer.sinks.tracks_txt import TracksText
from streamer.sinks.window import Window


def build_sinks(
    directory: Path,
    settings: StreamSettings,
    *,
    source: str,
    window: Window | None = None,
    live: bool = False,
) -> list[Sink]:
    """The sinks of one source, in the order in which they take a frame: events first.

    Args:
        directory: where this source's files go; it exists.
        settings: the run's.
        source: the source's name.
        window: shows the annotated pictures; None for no window.
        live: the source is a camera, and the picture shows the wall clock.

    Raises:
        StreamError: a file cannot be made, or a program or an encoder is missing. Whatever was
            opened is closed again.
    """
    output = settings.output
    sinks: list[Sink] = []
    with ExitStack() as undo:

        def add(sink: Sink) -> None:
            undo.callback(sink.close)
            sinks.append(sink)

        if output.events.jsonl or output.events.stdout or output.events.command:
            add(EventSink(directory / "events.jsonl", output.events, source))
        add(TracksText(directory / "tracks.txt"))
        add(FramesLog(directory / "frames.jsonl", settings.logs.detail))
        if output.record.enabled or window is not None:
            recorder = None
            if output.record.enabled:
                recorder = Recorder(directory / "annotated.mp4", output.record)
            black_hot = settings.source.polarity == "black_hot"
            overlay = Overlay(output.overlay, black_hot=black_hot, live=live)
            add(Annotator(overlay, recorder=recorder, window=window))
        undo.pop_all()
    return sinks
