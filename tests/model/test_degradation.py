"""What the detector does when the device has no memory left or the network gives no numbers."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from configs.schema import DetectorSettings
from model.detector import NOT_FINITE_IN_A_ROW, NetworkDetector
from model.engines.base import Engine, EngineBatch
from model.engines.memory import MemoryGuard
from streamer.types import Frame, StreamError


class Done:
    stage_seconds: dict[str, float] = {}  # noqa: RUF012

    def __init__(self, probability: NDArray[np.float32]) -> None:
        self._probability = probability

    def result(self) -> NDArray[np.float32]:
        return self._probability


class SmallDevice:
    """Has memory for ``room`` pictures. Where a picture is white, so is the probability, and where
    one is of the value 7 it is no number."""

    precision = "fp16"
    max_in_flight = 2

    def __init__(self, room: int, name: str = "torch-cuda") -> None:
        self.room = room
        self.name = name
        self.device = f"a device of {room}"
        self.sizes: list[int] = []
        self.closed = self.trimmed = 0

    def trim(self) -> None:
        self.trimmed += 1

    def submit(self, batch: EngineBatch) -> Done:
        self.sizes.append(len(batch.images))
        if len(batch.images) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        images = np.stack(batch.images)
        probability = (images == 255).astype(np.float32) * 0.9
        probability[images == 7] = np.nan
        return Done(probability)

    def close(self) -> None:
        self.closed += 1


def detector(engine: Engine, fallback: Engine | None = None, batch: int = 8) -> NetworkDetector:
    return NetworkDetector(
        engine if fallback is None else MemoryGuard(engine, lambda: fallback),
        DetectorSettings(),
        threshold=0.5,
        max_batch=batch,
        mode="full",
        scan_px=256,
        description={"weights": "small"},
    )


def frames(count: int, *, broken: tuple[int, ...] = (), source: str = "cam") -> list[Frame]:
    """Pictures with a target at (10 + k, 20)."""
    made = []
    for k in range(count):
        image = np.full((48, 64), 90, np.uint8)
        image[20, 10 + k] = 255
        if k in broken:
            image[0, 0] = 7
        made.append(Frame(image, 8, k, k / 30, 0.0, 0.0, source))
    return made


def assert_all_found(subject: NetworkDetector, given: list[Frame]) -> None:
    found = subject.submit(given).result()
    assert [each.frame_index for each in found] == [each.index for each in given]
    for k, each in enumerate(found):
        assert each.xy == pytest.approx(np.array([[10.0 + k, 20.0]]))


def test_out_of_memory_lowers_the_batch_and_no_frame_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    device = SmallDevice(3)
    subject = detector(device, SmallDevice(64))
    with caplog.at_level(logging.WARNING):
        assert_all_found(subject, frames(8))
    assert device.sizes == [8, 4, 2, 2, 2, 2]
    assert [line.getMessage() for line in caplog.records] == [
        "a device of 3 is out of memory with 8 pictures at once: 4 from now on",
        "a device of 3 is out of memory with 4 pictures at once: 2 from now on",
    ]
    assert device.trimmed == 2  # buffers of sizes that do not come again
    device.sizes.clear()
    assert_all_found(subject, frames(2))
    assert device.sizes == [2]  # it is not tried again


def test_without_memory_for_one_picture_the_next_engine_takes_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = SmallDevice(0), SmallDevice(64, "torch-cpu")
    subject = detector(first, second)
    with caplog.at_level(logging.WARNING):
        assert_all_found(subject, frames(4))
    assert first.sizes == [4, 2, 1]
    assert subject.describe()["engine"] == "torch-cpu"
    assert "the network runs on a device of 64 (torch-cpu) from now on" in caplog.text
    first.sizes.clear()
    assert_all_found(subject, frames(1))
    assert first.sizes == []
    subject.close()
    assert (first.closed, second.closed) == (1, 1)


def test_where_no_engine_has_memory_it_ends_with_one_line_that_says_what_to_do() -> None:
    with pytest.raises(StreamError, match="single picture: close what else runs on it"):
        detector(SmallDevice(0), SmallDevice(0)).submit(frames(2))


def test_what_is_in_flight_when_memory_runs_out_is_still_given() -> None:
    device = SmallDevice(4)
    subject = detector(device, SmallDevice(64), batch=4)
    early = subject.submit(frames(4))
    device.room = 1
    late = subject.submit(frames(4))
    assert [len(each) for each in early.result()] == [1] * 4
    assert [len(each) for each in late.result()] == [1] * 4


def test_a_frame_without_numbers_is_reported_and_gives_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    subject = detector(SmallDevice(8))
    with caplog.at_level(logging.WARNING):
        found = subject.submit(frames(4, broken=(1, 2))).result()
    assert [len(each) for each in found] == [1, 0, 0, 1]
    # The first of a row only: two of them in a row are one line.
    assert [line.getMessage() for line in caplog.records] == [
        "the network gave numbers that are not finite for frame 1 of cam: nothing is detected in it"
    ]


def test_a_network_that_never_gives_numbers_is_an_error_and_not_an_empty_sky() -> None:
    subject = detector(SmallDevice(1), batch=1)
    for frame in frames(NOT_FINITE_IN_A_ROW - 1, broken=tuple(range(50))):
        assert len(subject.submit([frame]).result()[0]) == 0
    with pytest.raises(StreamError, match=r"25th in a row: try detector\.precision=fp32"):
        subject.submit(frames(1, broken=(0,))).result()


def test_a_source_that_gives_no_numbers_is_found_beside_one_that_does() -> None:
    subject = detector(SmallDevice(2), batch=2)
    good, bad = frames(1, source="good")[0], frames(1, broken=(0,), source="bad")[0]
    for _ in range(NOT_FINITE_IN_A_ROW - 1):
        assert [len(each) for each in subject.submit([good, bad]).result()] == [1, 0]
    with pytest.raises(StreamError, match="of bad, the 25th in a row"):
        subject.submit([good, bad]).result()
