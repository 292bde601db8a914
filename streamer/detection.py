"""The detection thread's body: batches across sources, through the detector, to the trackers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from streamer.channel import Gate
from streamer.lane import FocusLag, Lane
from streamer.protocols import DetectionTicket, Detector
from streamer.types import Detections, Frame, FrameResult

_LOOK_AROUND_SECONDS = 1.0  # every change notifies the gate; this only bounds a single wait

Batch = list[tuple[Lane, Frame]]


@dataclass(frozen=True, slots=True)
class _Work:
    """A batch that is on its way through the detector."""

    ticket: DetectionTicket | None
    """Of the frames that are not frozen; None where all are."""
    batch: Batch
    begun_seconds: float


class DetectionLoop:
    """Takes frames of all lanes in turn, and gives every lane its results in its own order.

    Args:
        lanes: served in turn, one frame at a time; one whose sinks are behind is left out until
            they catch up, and so never holds the others up.
        detector: gets up to ``max_batch`` frames at once, ``max_in_flight`` times.
        gate: notified by the lanes' channels.
        deadline_seconds: a frame waits at most this long, from its capture, for frames of other
            sources to share its batch; not at all where no other could come.
    """

    def __init__(
        self, lanes: Sequence[Lane], detector: Detector, gate: Gate, deadline_seconds: float
    ) -> None:
        self._lanes = tuple(lanes)
        self._turns = deque(lanes)
        self._detector = detector
        self._gate = gate
        self._deadline_seconds = deadline_seconds
        # Asked once: an engine that takes over may allow more, but hints keep their lag.
        self._max_in_flight = detector.max_in_flight
        self._ahead = detector.begins_ahead
        for lane in self._lanes:
            lane.focus = FocusLag(self._max_in_flight * detector.max_batch)

    def run(self) -> None:
        """Run until every lane's frames have ended; afterwards every ``results`` is closed."""
        open_work: deque[_Work] = deque()
        begun: _Work | None = None
        try:
            while True:
                # Ahead of its turn only where that gains something: the next frame to come is
                # a fresher one.
                if begun is None and (self._ahead or len(open_work) < self._max_in_flight):
                    batch = self._gather(wait=not open_work)
                    begun = self._begin(batch, open_work) if batch else None
                # Results are fetched at once, unless frames wait that the device could start on.
                if begun is not None and len(open_work) < self._max_in_flight:
                    self._look(begun)
                    open_work.append(begun)
                    begun = None
                elif open_work:
                    self._collect(open_work.popleft())
                else:
                    return
                self._close_finished_lanes()
        finally:
            for lane in self._lanes:
                lane.stats.count_dropped(lane.in_flight)
                lane.in_flight = 0
                lane.results.close()

    def _gather(self, *, wait: bool) -> Batch:
        """The next batch; empty when nothing waits (with ``wait``: when nothing will come)."""
        batch: Batch = []
        give_up = 0.0
        while len(batch) < self._detector.max_batch:
            version = self._gate.version
            taken = self._take()
            if taken is not None:
                if not batch:
                    captured = min(taken[1].captured_seconds, time.monotonic())
                    give_up = captured + self._deadline_seconds
                batch.append(taken)
            elif not wait:
                break
            elif batch:
                remaining = give_up - time.monotonic()
                if remaining <= 0 or not self._others_may_come(batch):
                    break
                self._gate.wait(version, remaining)
            else:
                self._close_finished_lanes()
                if all(lane.frames.ended for lane in self._lanes):
                    break
                self._gate.wait(version, _LOOK_AROUND_SECONDS)
        return batch

    def _take(self) -> tuple[Lane, Frame] | None:
        """The oldest frame of the lane whose turn it is, or of the next that has one."""
        for _ in range(len(self._turns)):
            lane = self._turns[0]
            self._turns.rotate(-1)
            frame = lane.frames.get() if lane.room else None
            if frame is not None:
                lane.in_flight += 1
                return lane, frame
        return None

    def _others_may_come(self, batch: Batch) -> bool:
        present = {lane.name for lane, _ in batch}
        return any(
            lane.name not in present and not lane.frames.ended and lane.room for lane in self._lanes
        )

    def _begin(self, batch: Batch, open_work: deque[_Work]) -> _Work:
        begun = time.monotonic()
        # A frozen picture is not shown to the detector at all: what it remembers of the source's
        # contrast and scene stays as it was.
        seen = [frame for _, frame in batch if not frame.frozen]
        try:
            return _Work(self._detector.begin(seen) if seen else None, batch, begun)
        except Exception:
            while open_work:  # what is on its way is not lost for what comes after it
                self._collect(open_work.popleft())
            raise

    def _look(self, work: _Work) -> None:
        """Start on what depends on the tracks of the frames that were collected."""
        hints = [(lane.focus.hints(frame), frame.frozen) for lane, frame in work.batch]
        if work.ticket is not None:
            work.ticket.look([expected for expected, frozen in hints if not frozen])

    def _collect(self, work: _Work) -> None:
        found = [] if work.ticket is None else work.ticket.result()
        expected = sum(not frame.frozen for _, frame in work.batch)
        if len(found) != expected:
            raise RuntimeError(f"the detector gave {len(found)} results for {expected} frames")
        stages = {} if work.ticket is None else work.ticket.stage_seconds
        in_turn = iter(found)
        for lane, frame in work.batch:
            if frame.frozen:
                detections = Detections.empty(frame.index, frame.pts_seconds)
            else:
                detections = next(in_turn)
            queue = max(0.0, work.begun_seconds - frame.captured_seconds)
            self._track(lane, frame, detections, {"queue": queue, **stages})

    def _track(
        self, lane: Lane, frame: Frame, detections: Detections, stages: dict[str, float]
    ) -> None:
        started = time.monotonic()
        tracker = lane.stream.tracker
        if frame.frozen:
            tracks = tracker.coast(frame.pts_seconds, frame.image)
        else:
            tracks = tracker.step(detections, frame.image)
        lane.focus.remember(frame, tracks)
        known = time.monotonic()
        stages["track"] = known - started
        stages["latency"] = max(0.0, known - frame.captured_seconds)
        result = FrameResult(frame, detections, tracks, stages)
        lane.in_flight -= 1
        # Never waits: lane.room was true when the frame was taken. Closed only after a give-up.
        if lane.results.put(result):
            lane.stats.count_dropped(1)
            return
        lane.processed += 1
        lane.stats.count_processed(result)

    def _close_finished_lanes(self) -> None:
        # At once, not at the end of the run: a file's video is whole while a camera runs on.
        for lane in self._lanes:
            if lane.frames.ended and not lane.in_flight:
                lane.results.close()
