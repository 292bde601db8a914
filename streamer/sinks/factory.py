"""Which sinks a source gets: the one place that knows them all."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from configs.schema import StreamSettings
from streamer.overlay import Overlay
from streamer.protocols import Sink, Smoother
from streamer.sinks.annotate import Annotator
from streamer.sinks.disk import Disk
from streamer.sinks.events import EventSink
from streamer.sinks.frames_jsonl import FramesLog
from streamer.sinks.original import OriginalRecorder
from streamer.sinks.record import Recorder
from streamer.sinks.retention import Limits, Retention
from streamer.sinks.tracks_txt import SmoothedText, TracksText
from streamer.sinks.window import Window


def build_sinks(
    directory: Path,
    settings: StreamSettings,
    *,
    source: str,
    window: Window | None = None,
    live: bool = False,
    disk: Disk | None = None,
    smoother: Smoother | None = None,
) -> list[Sink]:
    """The sinks of one source, in the order in which they take a frame: events first.

    Args:
        directory: where this source's files go; it exists.
        settings: the run's.
        source: the source's name.
        window: shows the annotated pictures; None for no window.
        live: the source is a camera, and the picture shows the wall clock.
        disk: where ``directory`` lies, and the account of what could not be written; None for one
            of its own.
        smoother: makes tracks_smoothed.txt of the tracks; None for no such file.

    Raises:
        StreamError: a file cannot be made, or a program or an encoder is missing. Whatever was
            opened is closed again.
    """
    output = settings.output
    disk = disk or Disk(directory, output.disk, source)
    retention = Retention(Limits.of(output.record, live=live))
    logs = Limits.of_logs(output.logs, live=live)
    sinks: list[Sink] = []
    with ExitStack() as undo:

        def add(sink: Sink) -> None:
            undo.callback(sink.close)
            sinks.append(sink)

        if output.events.jsonl or output.events.stdout or output.events.command:
            path = directory / "events.jsonl"
            add(EventSink(path, output.events, source, disk, settings.camera, logs))
        add(TracksText(directory / "tracks.txt", disk, logs))
        if smoother is not None:
            add(SmoothedText(directory / "tracks_smoothed.txt", smoother, disk))
        path = directory / "frames.jsonl"
        add(FramesLog(path, settings.logs.detail, disk, settings.camera, logs))
        if output.record.original:
            path = directory / "original.mkv"
            add(OriginalRecorder(path, output.record, disk=disk, retention=retention, live=live))
        recorder = None
        if output.record.enabled or output.clips.enabled:
            recorder = Recorder(
                directory / "annotated.mp4",
                output.record,
                clips=output.clips,
                disk=disk,
                retention=retention,
                logs=logs,
                live=live,
            )
        if recorder is not None or window is not None:
            black_hot = settings.source.polarity == "black_hot"
            overlay = Overlay(output.overlay, black_hot=black_hot, live=live)
            add(Annotator(overlay, recorder=recorder, window=window))
        undo.pop_all()
    return sinks
