"""HOTA, IDF1 and MOTA against TrackEval, the toolkit of HOTA's authors."""

from typing import Any

import numpy as np
import pytest
from track_tables import along, joined, scene, table

from tracking.metrics import SIMILARITY, Tally, measure_clip, pair_up, pooled
from tracking.mot import MotTable

trackeval = pytest.importorskip(
    "trackeval", reason="needs TrackEval (pip install --no-deps trackeval)"
)

SCENES = {
    "empty tracks": (table(*along(1, range(1, 9))), MotTable.empty()),
    "empty truth": (MotTable.empty(), table(*along(7, range(1, 9)))),
    **{f"scene {seed}": scene(seed) for seed in range(12)},
    "sparse": scene(100, targets=2, frames=60),
    "crowded": scene(101, targets=20, frames=20, area_px=40),
    "far apart": scene(102, targets=8, frames=50, area_px=300),
}


def as_data(truth: MotTable, tracks: MotTable) -> dict[str, Any]:
    """A clip as TrackEval's metrics take it."""
    clip = pair_up(truth, tracks)
    return {
        "num_timesteps": len(clip.frames),
        "num_gt_ids": len(clip.target_lengths),
        "num_tracker_ids": len(clip.track_lengths),
        "num_gt_dets": clip.labelled,
        "num_tracker_dets": clip.estimated,
        "gt_ids": [frame.targets for frame in clip.frames],
        "tracker_ids": [frame.tracks for frame in clip.frames],
        "similarity_scores": [SIMILARITY.of(frame.distance) for frame in clip.frames],
    }


def evaluated(metric: Any, names: list[str]) -> dict[str, dict[str, Any]]:
    """What TrackEval makes of scenes, and of all of them under ``pooled``."""
    results = {name: metric.eval_sequence(as_data(*SCENES[name])) for name in names}
    return {**results, "pooled": metric.combine_sequences(results)}


@pytest.fixture(scope="module")
def ours() -> dict[str, Tally]:
    tallies = {name: measure_clip(*sides, 60) for name, sides in SCENES.items()}
    return {**tallies, "pooled": pooled(tallies.values())}


def test_hota(ours: dict[str, Tally]) -> None:
    for name, theirs in evaluated(trackeval.metrics.HOTA(), list(SCENES)).items():
        tally = ours[name].hota
        assert tally.pairs == pytest.approx(theirs["HOTA_TP"]), name
        assert tally.labelled - tally.pairs == pytest.approx(theirs["HOTA_FN"]), name
        assert tally.estimated - tally.pairs == pytest.approx(theirs["HOTA_FP"]), name
        figures = tally.figures()
        assert figures.hota == pytest.approx(np.mean(theirs["HOTA"]), abs=1e-12), name
        assert figures.det_a == pytest.approx(np.mean(theirs["DetA"]), abs=1e-12), name
        assert figures.ass_a == pytest.approx(np.mean(theirs["AssA"]), abs=1e-12), name
        if tally.pairs.any():  # without a pair TrackEval says 1, we say undefined
            assert figures.loc_a == pytest.approx(np.mean(theirs["LocA"]), abs=1e-9), name


def test_idf1(ours: dict[str, Tally]) -> None:
    metric = trackeval.metrics.Identity({"PRINT_CONFIG": False})
    for name, theirs in evaluated(metric, list(SCENES)).items():
        tally = ours[name].identity
        assert tally.kept == theirs["IDTP"], name
        assert tally.labelled - tally.kept == theirs["IDFN"], name
        assert tally.estimated - tally.kept == theirs["IDFP"], name
        figures = tally.figures()
        found = [value or 0.0 for value in (figures.idf1, figures.idp, figures.idr)]
        assert found == pytest.approx([theirs[key] for key in ("IDF1", "IDP", "IDR")]), name


def test_mota(ours: dict[str, Tally]) -> None:
    metric = trackeval.metrics.CLEAR({"PRINT_CONFIG": False})
    for name, theirs in evaluated(metric, list(SCENES)).items():
        tally, figures = ours[name].clear, ours[name].clear.figures()
        assert tally.pairs == theirs["CLR_TP"], name
        assert tally.false_positives == theirs["CLR_FP"], name
        assert tally.misses == theirs["CLR_FN"], name
        assert tally.identity_switches == theirs["IDSW"], name
        if figures.mota is not None and figures.motp is not None:
            assert figures.mota == pytest.approx(theirs["MOTA"]), name
            assert figures.motp == pytest.approx(theirs["MOTP"]), name


def test_fragmentations_where_every_target_is_always_labelled() -> None:
    # Elsewhere TrackEval takes a frame without its label for an interruption, and none that has no
    # track at all: a false one is in every frame.
    metric = trackeval.metrics.CLEAR({"PRINT_CONFIG": False})
    rng = np.random.default_rng(5)
    for _ in range(8):
        targets, frames = range(1, 6), range(1, 31)
        truth = table(*(line for k in targets for line in along(k, frames, x=30 * k)))
        found = truth.keep(rng.random(len(truth)) < 0.7)
        tracks = joined(found, table(*along(9, frames, x=900)))
        expected = metric.eval_sequence(as_data(truth, tracks))["Frag"]
        assert measure_clip(truth, tracks, 30).clear.fragmentations == expected > 0
