import signal
from pathlib import Path

import av
import numpy as np
import pytest
from recordings import killed_after
from sink_results import result_of, tracks_at

from configs.schema import OverlaySettings, RecordSettings
from streamer.overlay import Overlay
from streamer.sinks.annotate import Annotator
from streamer.sinks.record import Recorder

FAST = RecordSettings(preset="ultrafast")


def picture(width: int = 64, height: int = 48, value: int = 90) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def read_back(path: Path) -> tuple[list[float], tuple[int, int], av.VideoFrame]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        times = [float(frame.pts * stream.time_base) for frame in frames]
        return times, (stream.width, stream.height), frames[-1]


def irregular_times(count: int, start: float = 0.0) -> list[float]:
    steps = np.random.default_rng(1).uniform(0.004, 0.4, count)
    return [start + float(t) for t in np.cumsum(steps)]


def test_the_recording_has_the_sources_count_and_timestamps(tmp_path: Path) -> None:
    times = irregular_times(75, start=412.7)
    path = tmp_path / "annotated.mp4"
    recorder = Recorder(path, FAST)
    for number, pts in enumerate(times):
        recorder.write(picture(value=number), pts)
    recorder.close()
    recorder.close()
    recorded, size, last = read_back(path)
    assert size == (64, 48)
    assert last.format.name == "yuv420p"
    np.testing.assert_allclose(recorded, np.array(times) - times[0], atol=1e-5)


def test_a_finished_recording_is_a_plain_mp4_of_h264(tmp_path: Path) -> None:
    path = tmp_path / "annotated.mp4"
    recorder = Recorder(path, FAST)
    for number in range(40):
        recorder.write(picture(), number / 10)
    recorder.close()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.codec.canonical_name == "h264"
        assert stream.start_time == 0
        # The last frame lasts as long as the one before: 40 frames at 10 a second are 4 seconds.
        assert float(stream.duration * stream.time_base) == pytest.approx(4.0, abs=0.02)
        assert stream.frames == 40


@pytest.mark.parametrize("codec", ["hevc", "mpeg4"])
def test_other_codecs_keep_the_timestamps_too(tmp_path: Path, codec: str) -> None:
    times = irregular_times(12)
    path = tmp_path / "annotated.mp4"
    recorder = Recorder(path, RecordSettings(codec=codec, preset="ultrafast"))  # type: ignore[arg-type]
    for pts in times:
        recorder.write(picture(), pts)
    recorder.close()
    np.testing.assert_allclose(read_back(path)[0], np.array(times) - times[0], atol=1e-5)


def test_a_new_size_begins_a_new_file(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "annotated.mp4", FAST)
    sizes = [(64, 48)] * 3 + [(96, 48)] * 2 + [(64, 48)]
    for number, (width, height) in enumerate(sizes):
        recorder.write(picture(width, height), number * 0.5)
    recorder.close()
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["annotated-0002.mp4", "annotated-0003.mp4", "annotated.mp4"]
    times, size, _ = read_back(tmp_path / "annotated-0002.mp4")
    assert size == (96, 48)
    np.testing.assert_allclose(times, [0.0, 0.5], atol=1e-5)
    assert read_back(tmp_path / "annotated-0003.mp4")[0] == [0.0]


def test_timestamps_strictly_increase_whatever_the_clock_does(tmp_path: Path) -> None:
    times = [5.0, 5.1, 5.1, 5.05, 5.2, 0.0, 0.1, 1e9, 1e9 + 0.1]
    recorder = Recorder(tmp_path / "annotated.mp4", FAST)
    for pts in times:
        recorder.write(picture(), pts)
    recorder.close()
    recorded, _, _ = read_back(tmp_path / "annotated.mp4")
    assert len(recorded) == len(times)
    assert (np.diff(recorded) > 0).all()
    assert recorded[-1] < 2.0  # a clock that jumps leaves no hours of a still picture
    assert recorded[6] - recorded[5] == pytest.approx(0.1, abs=1e-4)


@pytest.mark.parametrize("shape", [(33, 47), (48, 64), (35, 1001)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pictures_of_any_size_and_depth_are_drawn_and_recorded(
    tmp_path: Path, shape: tuple[int, int], dtype: type
) -> None:
    settings = OverlaySettings(min_width=64)
    recorder = Recorder(tmp_path / "annotated.mp4", FAST)
    sink = Annotator(Overlay(settings), recorder=recorder, window=None)
    rng = np.random.default_rng(0)
    top = 255 if dtype is np.uint8 else 16383
    for index in range(4):
        image = rng.integers(0, top, shape).astype(dtype)
        sink.write(result_of(index, image=image, tracks=tracks_at([(12, 9)])))
    sink.close()
    times, (width, height), _ = read_back(tmp_path / "annotated.mp4")
    assert len(times) == 4
    assert width % 2 == height % 2 == 0
    assert width >= shape[1]
    assert height >= shape[0]


def test_what_is_recorded_is_what_was_drawn(tmp_path: Path) -> None:
    colours = [(40, 40, 40), (200, 120, 60), (60, 180, 230)]
    recorder = Recorder(tmp_path / "annotated.mp4", RecordSettings(crf=10))
    for number, colour in enumerate(colours):
        recorder.write(np.full((48, 64, 3), colour, np.uint8), number / 30)
    recorder.close()
    with av.open(str(tmp_path / "annotated.mp4")) as container:
        shown = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    for picture_back, colour in zip(shown, colours, strict=True):
        np.testing.assert_allclose(picture_back.mean(axis=(0, 1)), colour, atol=6)


def test_odd_pictures_are_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="65x48"):
        Recorder(tmp_path / "annotated.mp4", FAST).write(picture(65, 48), 0.0)


KILLED_RECORDING = """
import sys, time
import numpy as np
from pathlib import Path
from configs.schema import RecordSettings
from streamer.sinks.record import Recorder
recorder = Recorder(Path(sys.argv[1]), RecordSettings(codec=sys.argv[2], segment_seconds=4))
rng = np.random.default_rng(0)
for number in range(10**6):
    recorder.write(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8), number / 30)
    print(number, flush=True)
    time.sleep(0.001)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("codec", ["h264", "hevc", "mpeg4"])
@pytest.mark.parametrize("frames", [20, 250])
def test_a_killed_recording_plays_up_to_its_last_second(
    tmp_path: Path, codec: str, frames: int
) -> None:
    path = tmp_path / "annotated.mp4"
    written = killed_after(frames, KILLED_RECORDING, str(path), codec)
    paths = sorted(tmp_path.iterdir(), key=lambda each: (len(each.stem), each.stem))
    assert len(paths) in (
        written // 120,
        1 + written // 120,
    )  # one is made with its first half second
    playing = [read_back(each)[0] for each in paths]
    for times in playing:
        np.testing.assert_allclose(times, np.arange(len(times)) / 30, atol=1e-4)
    assert all(len(times) == 120 for times in playing[: written // 120])
    # Half a second waits in memory, and what the encoder holds.
    assert sum(map(len, playing)) > written - 22
