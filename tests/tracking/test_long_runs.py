"""A tracker that runs for weeks holds no more memory than one that runs for an hour."""

import numpy as np
import pytest
from resident_memory import STATM, resident_megabytes
from shown_targets import seen

from configs.schema import TrackerSettings
from tracking import build_tracker

FRAMES = 1_000_000
FPS = 30.0
SIZE = np.array([320.0, 256.0])


@pytest.mark.slow
@pytest.mark.skipif(not STATM.exists(), reason="needs /proc")
@pytest.mark.parametrize("life", ["m_of_n", "likelihood"])
def test_memory_stays_as_it_is_over_a_million_frames(
    life: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nine hours: targets cross the picture all the time, are missed, and come again; one in five
    detections is false."""
    subject = build_tracker(TrackerSettings.model_validate({"life": life}), 0.5)
    picture = np.zeros((256, 320), np.uint8)
    rng = np.random.default_rng(1)
    xy, velocity = rng.uniform(0, SIZE, (4, 2)), rng.normal(0, 40, (4, 2))
    memory, most = [], 0
    for frame in range(FRAMES):
        xy += velocity / FPS
        gone = ((xy < 0) | (xy > SIZE)).any(axis=1)
        if gone.any():
            xy[gone] = rng.uniform(0, SIZE, (int(gone.sum()), 2))
        shown = xy[rng.random(len(xy)) < 0.9]
        false = rng.uniform(0, SIZE, (rng.poisson(0.8), 2))
        tracks = subject.step(seen(np.vstack((shown, false)), frame / FPS), picture)
        most = max(most, len(tracks))
        if frame % (FRAMES // 100) == 0:
            memory.append(resident_megabytes())
    warm, end = float(np.median(memory[5:15])), float(np.median(memory[-10:]))
    with capsys.disabled():
        print(f"\n{life}: {FRAMES:,} frames, {tracks.track_id.max()} ids, {most} tracks at most, "
              f"resident memory {warm:.1f} MB after a tenth, {end:.1f} MB at the end")  # fmt: skip
    assert end - warm < 1.0
    assert most < 60
