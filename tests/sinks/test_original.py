import signal
from pathlib import Path

import av
import numpy as np
import pytest
from recordings import killed_after
from sink_results import result_of

from configs.load import load_settings
from configs.schema import RecordSettings
from streamer.sinks.original import OriginalRecorder
from streamer.sources.factory import open_source


def frames_in(path: Path) -> tuple[list[np.ndarray], list[float]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "ffv1"
        frames = list(container.decode(stream))
        images = [frame.to_ndarray(format=frame.format.name) for frame in frames]
        return images, [float(frame.time or 0.0) for frame in frames]


@pytest.mark.parametrize("shape", [(48, 64), (33, 47), (4, 8), (512, 640)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_frames_come_back_bit_for_bit_at_their_times(
    tmp_path: Path, shape: tuple[int, int], dtype: type
) -> None:
    rng = np.random.default_rng(3)
    images = [rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True) for _ in range(6)]
    times = [7.0 + float(t) for t in np.cumsum(rng.uniform(0.01, 0.4, 6))]
    sink = OriginalRecorder(tmp_path / "original.mkv", RecordSettings())
    for index, (image, pts) in enumerate(zip(images, times, strict=True)):
        sink.write(result_of(index, pts, image=image.copy()))
    sink.close()
    sink.close()
    found, when = frames_in(tmp_path / "original.mkv")
    assert [each.dtype for each in found] == [dtype] * 6
    np.testing.assert_array_equal(found, images)
    np.testing.assert_allclose(when, np.array(times) - times[0], atol=0.00051)


def test_a_sources_frames_come_back_bit_for_bit_and_in_segments(tmp_path: Path) -> None:
    settings = load_settings(None, [])
    source = open_source("synthetic:?bit_depth=14&seconds=2.5&seed=5", settings.source, "a")
    sink = OriginalRecorder(tmp_path / "original.mkv", RecordSettings(segment_seconds=1))
    source.open()
    images = []
    while (frame := source.read()) is not None:
        images.append(np.array(frame.image))
        sink.write(result_of(frame.index, frame.pts_seconds, image=frame.image))
    source.close()
    sink.close()
    names = ["original.mkv", "original-0002.mkv", "original-0003.mkv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    found = [image for name in names for image in frames_in(tmp_path / name)[0]]
    assert images[0].dtype == np.uint16
    np.testing.assert_array_equal(found, images)


def test_a_recorded_original_can_be_replayed(tmp_path: Path) -> None:
    """Its own source gives 8-bit frames back as they were."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (64, 80)).astype(np.uint8) for _ in range(4)]
    sink = OriginalRecorder(tmp_path / "original.mkv", RecordSettings())
    for index, image in enumerate(images):
        sink.write(result_of(index, image=image.copy()))
    sink.close()
    source = open_source(str(tmp_path / "original.mkv"), load_settings(None, []).source, "replay")
    source.open()
    for image in images:
        frame = source.read()
        assert frame is not None
        np.testing.assert_array_equal(frame.image, image)
    source.close()


def test_a_change_of_depth_or_size_begins_a_new_file(tmp_path: Path) -> None:
    sink = OriginalRecorder(tmp_path / "original.mkv", RecordSettings())
    for index in range(6):
        dtype = np.uint8 if index < 3 else np.uint16
        sink.write(result_of(index, image=np.full((40 + 8 * (index == 5), 50), 7, dtype)))
    sink.close()
    names = ["original.mkv", "original-0002.mkv", "original-0003.mkv"]
    assert [len(frames_in(tmp_path / name)[0]) for name in names] == [3, 2, 1]


KILLED = """
import sys, time
import numpy as np
sys.path.insert(0, "tests/sinks")
from pathlib import Path
from sink_results import result_of
from configs.schema import RecordSettings
from streamer.sinks.original import OriginalRecorder
sink = OriginalRecorder(Path(sys.argv[1]), RecordSettings())
for index in range(10**6):
    image = np.random.default_rng(index).integers(0, 2**16, (48, 64)).astype(np.uint16)
    sink.write(result_of(index, image=image))
    print(index, flush=True)
    time.sleep(0.001)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_kill_leaves_everything_but_the_last_second(tmp_path: Path) -> None:
    path = tmp_path / "original.mkv"
    written = killed_after(100, KILLED, str(path))
    found, times = frames_in(path)
    assert len(found) > written - 22
    np.testing.assert_allclose(times, np.arange(len(found)) / 30, atol=0.00051)
    for index, image in enumerate(found):
        expected = np.random.default_rng(index).integers(0, 2**16, (48, 64)).astype(np.uint16)
        np.testing.assert_array_equal(image, expected)
