"""Tracks that a likelihood ratio confirms and ends: the score, the threshold, the knob."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shown_targets import SIGMA, follow, line, one_track, seen

from configs.schema import TrackerSettings
from streamer.types import Detections, TrackState
from tracking import build_tracker
from tracking.camera_motion import Motion
from tracking.life import Likelihood
from tracking.metrics.intervals import poisson_rate_interval
from tracking.wald import false_share, hit_llr, lower_threshold, miss_llr

WIDTH, HEIGHT = 640, 512


def settings(**changes: object) -> TrackerSettings:
    return TrackerSettings.model_validate(
        {"life": "likelihood", "confirm_displacement_px": 0, **changes}
    )


# -- the score ---------------------------------------------------------------------------------


def test_hits_and_misses_move_the_score_as_by_hand() -> None:
    """Pd 0.9, one false detection a frame in 100 x 200 px, S = 3 + 1, the detection 2 px off."""
    life = Likelihood(
        settings(detection_probability=0.9, false_alarms_per_frame=1, gate_probability=0.99)
    )
    life.begin(1 / 30, Motion(), (100, 200))
    tracks = one_track(3.0)
    yes, no = np.array([True]), np.array([False])
    at, noise = np.array([[52.0, 50.0]]), np.eye(2)[None]
    life.weigh(tracks, yes, yes, at, noise)
    normal = math.exp(-0.5 * 4 / 4) / (2 * math.pi * 4)
    hit = math.log(0.9 * normal * 20_000 + 1 - 0.9 * (1 - math.exp(-0.5)))
    assert tracks.llr == pytest.approx([hit])
    assert hit == pytest.approx(math.log(0.9 * normal * 20_000), abs=0.01)  # nearly the textbook's
    life.weigh(tracks, no, no, np.empty((0, 2)), np.empty((0, 2, 2)))
    assert tracks.llr == pytest.approx([hit + math.log(1 - 0.9 * 0.99)])
    assert tracks.llr_peak == pytest.approx([hit])

    life.weigh(tracks, yes, no, at, noise)  # a weak one: as if it were not there
    assert tracks.llr == pytest.approx([hit + 2 * math.log(1 - 0.9 * 0.99)])
    tracks.confirmed = yes
    life.weigh(tracks, yes, no, at, noise)  # but nothing against a target that is known
    assert tracks.llr == pytest.approx([hit + 2 * math.log(1 - 0.9 * 0.99)])


def test_chance_alone_leaves_a_likelihood_ratio_of_one_on_average() -> None:
    """What makes it a likelihood ratio: its expectation under chance, hits and misses together."""
    rng = np.random.default_rng(0)
    chosen = settings(detection_probability=0.8, gate_probability=0.9)
    for density in (1e-4, 1e-2):
        gate, spread = -2 * math.log(0.1), 6.0
        nearest = rng.exponential(1.0, 400_000) / (density * math.pi * spread)  # d^2
        hit = nearest <= gate
        ratio = np.full(len(nearest), math.exp(miss_llr(chosen)))
        gain = hit_llr(nearest[hit], np.full(hit.sum(), 2 * math.log(spread)), density, 0.8)
        ratio[hit] = np.exp(gain)
        error = ratio.std() / math.sqrt(len(ratio))
        assert ratio.mean() == pytest.approx(1.0, abs=4 * error)
        assert error < 0.05


@given(
    st.floats(0, 1e3),
    st.floats(-20, 70),
    st.floats(1e-18, 1e4),
    st.floats(0.001, 0.999),
)
def test_scores_are_finite(distance: float, log_det: float, density: float, pd: float) -> None:
    score = hit_llr(np.array([distance]), np.array([log_det]), density, pd)
    assert np.isfinite(score).all()
    assert score[0] >= math.log(1 - pd) - 1e-9


# -- the threshold -----------------------------------------------------------------------------


def test_fewer_false_tracks_ask_for_more_evidence_and_never_for_more_than_walds() -> None:
    for density in (3e-7, 3e-6, 1e-4, 1e-2):
        curve = false_share(settings(), density, 1 / 30, 0.8)
        thresholds = [curve.threshold(share) for share in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)]
        assert thresholds == sorted(thresholds)
        for share, threshold in zip((1e-2, 1e-3, 1e-4, 1e-5, 1e-6), thresholds, strict=True):
            assert threshold <= math.log(1 / share) + 1e-9


def test_the_lower_threshold_is_walds() -> None:
    assert lower_threshold(0.0) == pytest.approx(math.log(0.01))
    assert lower_threshold(0.5) == pytest.approx(math.log(0.02))


# -- life --------------------------------------------------------------------------------------


def picture() -> np.ndarray:
    return np.zeros((HEIGHT, WIDTH), dtype=np.uint8)


def test_a_target_is_confirmed_the_sooner_the_more_false_tracks_are_allowed() -> None:
    def frames_to_confirmation(**changes: object) -> int:
        subject = build_tracker(settings(**changes), 0.5)
        times = np.arange(40) / 30
        outputs = follow(subject, line(times, (20, 200), (60, -25)), times, SIGMA)
        return next(n for n, each in enumerate(outputs) if each.reported.any()) + 1

    assert frames_to_confirmation() <= 3
    strict = frames_to_confirmation(false_tracks_per_hour=1e-4, false_alarms_per_frame=5)
    loose = frames_to_confirmation(false_tracks_per_hour=1000, false_alarms_per_frame=5)
    assert loose < strict <= 6


def test_what_stands_still_waits_for_the_displacement_test_here_too() -> None:
    subject = build_tracker(settings(confirm_displacement_px=1), 0.5)
    times = np.arange(300) / 30
    along = np.interp(times, [0, 5, 6, 10], [50, 50, 70, 70])
    outputs = follow(subject, np.column_stack((along, np.full(300, 50.0))), times, 0.3)
    states = [output.state[0] for output in outputs]
    assert set(states[:150]) == {TrackState.TENTATIVE}
    assert set(states[180:]) == {TrackState.CONFIRMED}


def test_a_hidden_target_coasts_for_the_time_that_is_set() -> None:
    subject = build_tracker(settings(coast_seconds=0.5), 0.5)
    times = np.arange(12) / 30
    follow(subject, line(times, (20, 100), (45, 0)), times, SIGMA)
    alive = [len(subject.step(seen([], times[-1] + n / 30))) for n in range(1, 31)]
    assert sum(alive) == 15


def test_a_chance_detection_now_and_then_does_not_keep_a_track_alive() -> None:
    def seconds_reported(life: str) -> float:
        subject = build_tracker(settings(life=life, coast_seconds=0.7), 0.5)
        reported = 0
        times = np.arange(12) / 30
        follow(subject, np.full((12, 2), 50.0), times, 0.2)
        place, reach = np.array([50.0, 50.0]), np.zeros(2)
        for n in range(1, 600):
            # Near the edge of the gate, wherever that has grown to: what is accepted by chance.
            found = place + reach if n % 12 == 0 else []
            tracks = subject.step(seen(found, times[-1] + n / 30))
            reported += 1 in tracks.track_id[tracks.reported]
            if 1 in tracks.track_id:
                row = tracks.track_id.tolist().index(1)
                place = tracks.xy[row]
                reach[0] = 2.5 * math.sqrt(tracks.position_cov[row, 0, 0])
        return reported / 30

    assert seconds_reported("m_of_n") > 19.9
    assert seconds_reported("likelihood") < 5.0


def test_a_target_that_fades_for_a_second_is_reported_all_the_while() -> None:
    """A weak detection every half a second is no evidence, and no reason to give it up either."""
    subject = build_tracker(settings(confirm_displacement_px=0.6), 0.5)
    times = np.arange(180) / 30
    faded = (times > 3.0) & (times < 4.2)
    for n, place in enumerate(line(times, (60, 100), (10, 0))):
        found = place if not faded[n] or n % 15 == 0 else []
        tracks = subject.step(seen(found, times[n], 0.3 if faded[n] else 0.9))
        assert n < 30 or tracks.track_id[tracks.reported].tolist() == [1]


def test_where_time_stands_still_a_target_is_confirmed_by_counts() -> None:
    subject = build_tracker(settings(confirm_hits=4), 0.5)
    outputs = [subject.step(seen((50, 50), 3.0)) for _ in range(6)]
    assert [len(each) and bool(each.reported[0]) for each in outputs] == [False] * 3 + [True] * 3


@pytest.mark.parametrize("life", ["m_of_n", "likelihood"])
def test_a_target_seen_in_short_spells_is_kept_between_them(life: str) -> None:
    """Behind a fence: 0.1 s in view, 0.6 s hidden, so what it misses is never made up for."""
    subject = build_tracker(settings(life=life), 0.5)
    rng = np.random.default_rng(2)
    times = np.arange(240) / 30
    for n, place in enumerate(line(times, (20, 100), (40, 0))):
        found = place + rng.normal(0, 0.3, 2) if n < 6 or n % 21 < 3 else []
        tracks = subject.step(seen(found, times[n]))
        assert n < 5 or tracks.track_id[tracks.reported].tolist() == [1], n


def test_weak_detections_alone_keep_a_confirmed_track() -> None:
    subject = build_tracker(settings(), 0.5)
    follow(subject, np.full((20, 2), 50.0), np.arange(20) / 30)
    for n in range(120):
        tracks = subject.step(seen((50, 50), (20 + n) / 30, 0.3))
        assert tracks.state.tolist() == [TrackState.CONFIRMED]
    assert len(subject.step(seen([], 140 / 30))) == 1


# -- the knob ----------------------------------------------------------------------------------


def false_tracks(
    asked_per_hour: float, *, cameras: int, fps: float, clutter: float, seconds: float, seed: int
) -> int:
    """How many tracks uniform false detections make.

    Many cameras at once are one with a picture as large as all of theirs side by side: in it are as
    many false detections a px^2, and as many times as many false tracks may be made in an hour.

    Args:
        asked_per_hour: of each camera.
        cameras: a square number of them.
        fps: frames a second.
        clutter: false detections a frame of a camera.
        seconds: how long.
        seed: of the detections.
    """
    side = math.isqrt(cameras)
    size = np.array((WIDTH * side, HEIGHT * side))
    subject = build_tracker(
        settings(
            false_tracks_per_hour=asked_per_hour * cameras,
            false_alarms_per_frame=clutter * cameras,
            camera_motion="off",
        ),
        0.5,
    )
    picture = np.broadcast_to(np.uint8(0), (size[1], size[0]))
    rng = np.random.default_rng(seed)
    confirmed: set[int] = set()
    for frame in range(round(seconds * fps)):
        count = rng.poisson(clutter * cameras)
        xy = rng.uniform(-0.5, size - 0.5, (count, 2))
        found = Detections(
            xy=xy,
            boxes_xyxy=np.hstack((xy - 1, xy + 1)),
            score=np.full(count, 0.9),
            area_px=np.rint(np.exp(rng.uniform(0, math.log(9), count))),
            peak_snr=2.6 * np.exp(0.4 * rng.standard_normal(count)),
            extended=np.zeros(count, dtype=np.bool_),
            frame_index=frame,
            pts_seconds=frame / fps,
        )
        tracks = subject.step(found, picture)
        confirmed.update(tracks.track_id[tracks.reported].tolist())
    return len(confirmed)


def test_the_more_false_tracks_are_asked_for_the_more_there_are() -> None:
    """64 cameras for 40 s: 0.7 camera hours."""
    made = {
        asked: false_tracks(asked, cameras=64, fps=10, clutter=1, seconds=40, seed=1)
        for asked in (3, 30, 300)
    }
    hours = 64 * 40 / 3600
    assert made[3] < made[30] < made[300]
    assert made[3] <= 8  # 2 are expected
    for asked in (30, 300):
        assert 0.5 < made[asked] / hours / asked < 2


@pytest.mark.slow
@pytest.mark.parametrize("fps", [10, 30])
@pytest.mark.parametrize(("asked", "hours"), [(1, 15), (10, 4), (100, 1)])
def test_as_many_false_tracks_an_hour_as_asked_for_within_a_factor_of_two(
    fps: float, asked: float, hours: float
) -> None:
    made = false_tracks(
        asked, cameras=100, fps=fps, clutter=1, seconds=hours * 36, seed=round(fps + asked)
    )
    # As far as so few can tell.
    low, high = poisson_rate_interval(made, hours) or (0.0, math.inf)
    assert 0.5 * asked < high and low < 2 * asked
