"""IDF1, MOTA and fragmentations against py-motmetrics."""

from typing import Any

import numpy as np
import pytest
from track_tables import joined, scene, table

from tracking.metrics import SIMILARITY, measure_clip, pair_up, pooled
from tracking.mot import MotTable

motmetrics = pytest.importorskip("motmetrics", reason="needs motmetrics (pip install motmetrics)")

NAMES = [
    "idf1", "idp", "idr", "mota", "motp", "num_misses", "num_false_positives", "num_switches",
    "num_fragmentations",
]  # fmt: skip


def accumulated(truth: MotTable, tracks: MotTable) -> Any:
    clip = pair_up(truth, tracks)
    events = motmetrics.MOTAccumulator()
    for frame in clip.frames:
        possible = SIMILARITY.of(frame.distance) >= SIMILARITY.threshold
        distance = np.where(possible, frame.distance, np.nan)
        events.update(frame.targets, frame.tracks, distance, frameid=frame.number)
    return events


def apart(seed: int) -> tuple[MotTable, MotTable]:
    """Targets so far apart that only one pairing is possible: who follows whom is no question of
    how pairs are made, in which motmetrics and TrackEval differ after a gap.
    """
    rng = np.random.default_rng(seed)
    truth, tracks = [], []
    for target in range(5):
        ids = 10 * target + np.cumsum(rng.random(40) < 0.1)
        for frame in range(1, 41):
            x = 30.0 * target + rng.normal(0, 1)
            if rng.random() < 0.9:
                truth.append((frame, target, x, 50.0))
            if rng.random() < 0.8:
                tracks.append((frame, int(ids[frame - 1]), x + rng.normal(0, 1.5), 50.0))
    false = [(int(k), 900 + n, 500.0, 500.0) for n, k in enumerate(rng.integers(1, 41, 12))]
    return table(*truth), joined(table(*tracks), table(*false))


def test_everything_where_pairs_are_clear() -> None:
    scenes = {f"scene {seed}": apart(seed) for seed in range(6)}
    theirs = motmetrics.metrics.create().compute_many(
        [accumulated(*sides) for sides in scenes.values()],
        names=list(scenes),
        metrics=NAMES,
        generate_overall=True,
    )
    ours = {name: measure_clip(*sides, 40) for name, sides in scenes.items()}
    for name, tally in {**ours, "OVERALL": pooled(ours.values())}.items():
        expected = theirs.loc[name]
        identity, clear, figures = tally.identity.figures(), tally.clear, tally.clear.figures()
        assert [identity.idf1, identity.idp, identity.idr] == pytest.approx(
            [expected[key] for key in ("idf1", "idp", "idr")]
        ), name
        assert clear.misses == expected["num_misses"], name
        assert clear.false_positives == expected["num_false_positives"], name
        assert clear.identity_switches == expected["num_switches"] > 0, name
        assert clear.fragmentations == expected["num_fragmentations"] > 0, name
        assert figures.mota == pytest.approx(expected["mota"]), name
        # Theirs is the mean distance of pairs.
        assert figures.motp == pytest.approx(1 - expected["motp"] / SIMILARITY.distance_px), name


@pytest.mark.parametrize("seed", range(6))
def test_idf1_of_crowds(seed: int) -> None:
    sides = scene(seed, targets=10)
    names = ["idf1", "idp", "idr", "idtp"]
    theirs = motmetrics.metrics.create().compute(accumulated(*sides), metrics=names, name="one")
    tally = measure_clip(*sides, 40).identity
    figures = tally.figures()
    assert [figures.idf1, figures.idp, figures.idr, tally.kept] == pytest.approx(
        theirs.loc["one"].tolist()
    )
