"""Run trackers over streams, in any environment: ``python -m benchmarks.peers.run``.

A job in JSON a line comes in by standard input, and an answer a line goes out by standard output:
``null`` when the job is done, else what went wrong. The end of the input ends it.
"""

from __future__ import annotations

import json
import sys
import time
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks.peers.adapters import build_peer
from benchmarks.peers.exchange import Job, Stream, read_stream, track_lines


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


def main() -> int:
    """The command; returns the exit code, which is 0."""
    answers, sys.stdout = sys.stdout, sys.stderr  # peers may print what they like
    for line in sys.stdin:
        job = Job.from_line(line)
        problem = None
        try:
            run_job(job)
        except Exception as error:  # a peer may raise anything: say with what
            problem = " ".join(f"{job.tracker} {job.parameters}: {error!r}".split())
        answers.write(json.dumps(problem) + "\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
