"""Run trackers over streams: ``python -m benchmarks.peers.run JOBS_JSON``, in any environment."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks.peers.adapters import build_peer
from benchmarks.peers.exchange import Job, Stream, read_jobs, read_stream, track_lines


def run_job(job: Job) -> None:
    """Write a job's tracks and the time of each step. Tracks that left the picture do not count."""
    stream = _stream(job.stream)
    tracker = build_peer(job.tracker, stream, job.parameters)
    lines: list[str] = []
    seconds = np.empty(len(stream.detections))
    for k, detections in enumerate(stream.detections):
        began = time.perf_counter()
        reported = tracker.step(detections)
        seconds[k] = time.perf_counter() - began
        shown = reported.inside(stream.width, stream.height)
        lines.append(track_lines(detections.frame_index, shown))
    Path(job.tracks).write_text("".join(lines), encoding="utf-8")
    np.save(job.seconds, seconds)


@lru_cache(maxsize=8)
def _stream(path: str) -> Stream:
    return read_stream(Path(path))


def main(argv: Sequence[str]) -> int:
    """The command. Exit code 0: every job is done; 1: one failed, which is told."""
    for job in read_jobs(Path(argv[0])):
        try:
            run_job(job)
        except Exception as error:  # a peer may raise anything: say with what
            print(f"{job.tracker} {job.parameters}: {error!r}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
