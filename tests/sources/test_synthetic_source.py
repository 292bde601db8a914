"""``synthetic:`` as a source: its address, its pace, and that a wait ends when it must."""

import threading
import time

import numpy as np
import pytest

from configs.schema import ExcludeSettings, SourceSettings, SyntheticSettings
from streamer.protocols import Source
from streamer.sources.synthetic import SyntheticSource
from streamer.types import Frame, StreamError


def source(address: str = "synthetic:", **synthetic: object) -> SyntheticSource:
    settings = SourceSettings(
        synthetic=SyntheticSettings(**{"seconds": 0.5, "width": 64, "height": 48, **synthetic})
    )
    return SyntheticSource(address, settings, "scene")


def frames_of(one: Source) -> list[Frame]:
    one.open()
    frames = []
    while (frame := one.read()) is not None:
        frames.append(frame)
    one.close()
    return frames


def test_every_frame_of_the_scene_comes_in_order() -> None:
    one = source(bit_depth=14)
    assert isinstance(one, Source)
    assert not one.live
    frames = frames_of(one)
    assert [frame.index for frame in frames] == list(range(15))
    for frame in frames:
        rendered = one.scene.render(frame.index)
        assert np.array_equal(frame.image, rendered.image)
        assert frame.pts_seconds == rendered.pts_seconds == frame.index / 30
        assert (frame.bit_depth, frame.source) == (14, "scene")
    assert one.corrupt == 0


def test_opened_again_it_begins_again() -> None:
    one = source()
    first, second = frames_of(one), frames_of(one)
    assert [frame.index for frame in second] == [frame.index for frame in first]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, second, strict=True))


def test_the_address_goes_on_top_of_the_settings() -> None:
    address = "synthetic:?targets=8&snr=4.5&seed=3&bit_depth=14&manoeuvres=false&width=64"
    settings = source(address, height=48, targets=2).scene.settings
    assert (settings.targets, settings.snr, settings.seed) == (8, 4.5, 3)
    assert (settings.bit_depth, settings.manoeuvres) == (14, False)
    assert (settings.width, settings.height) == (64, 48)


@pytest.mark.parametrize(
    ("address", "said"),
    (
        ("synthetic:?target=8", "no setting target; did you mean targets?"),
        ("synthetic:?zzz=8", "no setting zzz (it has seed, "),
        ("synthetic:?targets=-1", "targets=-1 is refused: input should be greater"),
        ("synthetic:?targets=many", "targets=many is refused: input should be a valid integer"),
        ("synthetic:?snr=NaN", "snr=nan is refused"),
        ("synthetic:?snr=", "snr= is refused"),
        ("synthetic:?bit_depth=12", "bit_depth=12 is refused: input should be 8, 14 or 16"),
        ("synthetic:?targets", "expected synthetic: or"),
        ("synthetic:sky", "expected synthetic: or"),
        ("synthetic:?snr=[", "snr=[ is refused"),
    ),
)
def test_an_address_that_cannot_be_is_refused_in_one_line(address: str, said: str) -> None:
    with pytest.raises(StreamError) as caught:
        source(address)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_excluded_regions_go_with_the_frames() -> None:
    settings = SourceSettings(
        exclude=ExcludeSettings(rectangles=((0, 0, 9, 4),)),
        synthetic=SyntheticSettings(seconds=0.1),
        polarity="black_hot",
    )
    one = SyntheticSource("synthetic:", settings, "scene")
    for frame in frames_of(one):
        assert frame.ignore is not None
        assert frame.ignore.sum() == 50
        # The scene is white-hot, whatever is said of cameras.
        assert np.array_equal(frame.image, one.scene.render(frame.index).image)


@pytest.mark.parametrize("how", ("setting", "pace", "address"))
def test_live_it_keeps_its_own_pace(how: str) -> None:
    settings = SourceSettings(
        pace="realtime" if how == "pace" else "fast",
        synthetic=SyntheticSettings(seconds=0.4, live=how == "setting"),
    )
    address = "synthetic:?live=true" if how == "address" else "synthetic:"
    one = SyntheticSource(address, settings, "scene")
    assert one.live
    one.open()
    started = time.monotonic()
    frames = []
    while (frame := one.read()) is not None:
        frames.append(frame)
    for frame in frames:
        late = frame.captured_seconds - started - frame.pts_seconds
        assert -0.002 < late < 0.5
    assert len(frames) == 12
    one.close()


def test_a_slow_reader_does_not_shift_the_schedule() -> None:
    one = source(live=True, fps=20, seconds=1)
    one.open()
    started = time.monotonic()
    assert one.read() is not None
    time.sleep(0.5)  # ten frames are due meanwhile
    overdue = [one.read() for _ in range(8)]
    assert all(frame is not None for frame in overdue)
    assert time.monotonic() - started < 0.85
    last = None
    while (frame := one.read()) is not None:
        last = frame
    assert last is not None
    assert 0.945 < last.captured_seconds - started < 1.2
    one.close()


def test_interrupt_ends_a_wait() -> None:
    one = source(live=True, fps=0.05, seconds=100)  # a frame in 20 s
    one.open()
    assert one.read() is not None
    timer = threading.Timer(0.1, one.interrupt)
    started = time.monotonic()
    timer.start()
    assert one.read() is None
    assert 0.05 < time.monotonic() - started < 2
    assert one.read() is None  # it holds
    one.close()
    one.close()
    one.open()
    assert one.read() is not None  # until it is closed
    one.close()
    timer.join()


def test_read_before_open_is_refused() -> None:
    with pytest.raises(StreamError, match="before it was opened"):
        source().read()
