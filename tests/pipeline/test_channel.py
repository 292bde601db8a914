"""Nothing is lost, nothing is reordered, nothing hangs."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.channel import Channel, Gate, Policy


def consume(channel: Channel[int], into: list[int], pause: float = 0.0) -> threading.Thread:
    def body() -> None:
        for item in channel:
            into.append(item)
            time.sleep(pause)

    thread = threading.Thread(target=body)
    thread.start()
    return thread


@settings(max_examples=60)
@given(
    operations=st.lists(st.sampled_from(["put", "get"]), max_size=60),
    capacity=st.integers(1, 5),
)
def test_drop_oldest_keeps_the_newest_and_hands_back_the_rest(
    operations: list[str], capacity: int
) -> None:
    channel: Channel[int] = Channel(capacity, "drop_oldest")
    waiting: list[int] = []  # what a list that forgets its head would hold
    for number, operation in enumerate(operations):
        if operation == "put":
            waiting.append(number)
            expected, waiting = waiting[:-capacity], waiting[-capacity:]
            assert channel.put(number) == expected
        else:
            assert channel.get() == (waiting.pop(0) if waiting else None)
        assert channel.depth == len(waiting)
    channel.close()
    assert list(channel) == waiting
    assert channel.ended


@settings(max_examples=15)
@given(
    policy=st.sampled_from(["block", "drop_oldest"]),
    capacity=st.integers(1, 4),
    producer_pause=st.sampled_from([0.0, 0.0005]),
    consumer_pause=st.sampled_from([0.0, 0.0005]),
)
def test_two_threads_account_for_every_item(
    policy: Policy, capacity: int, producer_pause: float, consumer_pause: float
) -> None:
    count = 60
    channel: Channel[int] = Channel(capacity, policy)
    got: list[int] = []
    thread = consume(channel, got, consumer_pause)
    dropped: list[int] = []
    for number in range(count):
        dropped += channel.put(number)
        time.sleep(producer_pause)
    channel.close()
    thread.join(10)
    assert got == sorted(got)
    assert sorted(got + dropped) == list(range(count))
    assert got[-1] == count - 1
    if policy == "block":
        assert dropped == []


def test_many_producers_and_consumers_share_a_channel() -> None:
    channel: Channel[int] = Channel(3, "block")
    got: list[list[int]] = [[] for _ in range(3)]
    consumers = [consume(channel, mine) for mine in got]

    def produce(start: int) -> None:
        for number in range(start, start + 500):
            channel.put(number)

    producers = [threading.Thread(target=produce, args=(1000 * k,)) for k in range(1, 4)]
    for thread in producers:
        thread.start()
    for thread in producers:
        thread.join(10)
    channel.close()
    for thread in consumers:
        thread.join(10)
    everything = [item for mine in got for item in mine]
    assert sorted(everything) == [1000 * k + n for k in range(1, 4) for n in range(500)]


def test_a_blocked_put_waits_for_room() -> None:
    channel: Channel[int] = Channel(1, "block")
    channel.put(1)
    back: list[list[int]] = []
    thread = threading.Thread(target=lambda: back.append(channel.put(2)))
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    assert channel.get() == 1
    thread.join(5)
    assert back == [[]]
    assert channel.get() == 2


@pytest.mark.parametrize("end", ["close", "abort"])
def test_an_end_wakes_a_blocked_put_which_gets_its_item_back(end: str) -> None:
    channel: Channel[int] = Channel(1, "block")
    channel.put(1)
    back: list[list[int]] = []
    thread = threading.Thread(target=lambda: back.append(channel.put(2)))
    thread.start()
    time.sleep(0.02)
    discarded = channel.abort() if end == "abort" else channel.close()
    thread.join(5)
    assert back == [[2]]
    assert discarded == ([1] if end == "abort" else None)
    assert list(channel) == ([] if end == "abort" else [1])


def test_an_end_wakes_a_waiting_get() -> None:
    channel: Channel[int] = Channel(1, "block")
    got: list[int] = []
    thread = consume(channel, got)
    time.sleep(0.02)
    channel.close()
    thread.join(5)
    assert not thread.is_alive()
    assert got == []


def test_get_gives_up_after_its_timeout() -> None:
    channel: Channel[int] = Channel(1, "block")
    started = time.monotonic()
    assert channel.get(timeout=0.05) is None
    assert 0.045 <= time.monotonic() - started < 2
    assert not channel.ended


def test_zero_is_an_item_like_any_other() -> None:
    channel: Channel[int] = Channel(2, "block")
    channel.put(0)
    channel.close()
    assert list(channel) == [0]


def test_a_capacity_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity is 0, expected 1 or more"):
        Channel(0, "block")


def test_one_thread_waits_on_several_channels_and_misses_nothing() -> None:
    gate = Gate()
    channels: list[Channel[int]] = [Channel(2, "block", gate) for _ in range(4)]

    def produce(channel: Channel[int]) -> None:
        for number in range(300):
            channel.put(number)
        channel.close()

    threads = [threading.Thread(target=produce, args=(channel,)) for channel in channels]
    for thread in threads:
        thread.start()
    got: list[list[int]] = [[] for _ in channels]
    while True:
        version = gate.version
        items = [channel.get() for channel in channels]
        for mine, item in zip(got, items, strict=True):
            if item is not None:
                mine.append(item)
        if items == [None] * len(channels):
            if all(channel.ended for channel in channels):
                break
            # A wake-up lost between the look and the wait would time out here.
            assert gate.wait(version, timeout=5.0)
    for thread in threads:
        thread.join(5)
    assert got == [list(range(300))] * len(channels)


def test_a_gate_waits_only_for_what_comes_after_the_look() -> None:
    gate = Gate()
    before = gate.version
    gate.notify()
    assert gate.wait(before, timeout=0)
    assert not gate.wait(gate.version, timeout=0.01)
