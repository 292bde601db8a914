"""Stone Soup: a Kalman filter of constant velocity, global nearest neighbours, M hits to begin."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from stonesoup.base import Property
from stonesoup.dataassociator.tree import DetectionKDTreeGNN2D
from stonesoup.deleter.time import UpdateTimeDeleter
from stonesoup.hypothesiser.distance import DistanceHypothesiser
from stonesoup.initiator import Initiator
from stonesoup.initiator.simple import MultiMeasurementInitiator
from stonesoup.measures import Mahalanobis
from stonesoup.models.measurement.linear import LinearGaussian
from stonesoup.models.transition.linear import (
    CombinedLinearGaussianTransitionModel,
    ConstantVelocity,
)
from stonesoup.predictor.kalman import KalmanPredictor
from stonesoup.tracker.simple import MultiTargetTracker
from stonesoup.types.detection import Detection
from stonesoup.types.state import GaussianState
from stonesoup.types.update import Update
from stonesoup.updater.kalman import KalmanUpdater

from benchmarks.peers.exchange import Parameter, Reported, Stream, strong
from streamer.types import Detections

_EPOCH = datetime(2000, 1, 1)
_POSITION = (0, 2)
_FARTHEST_PX = 100.0
"""Detections farther from a track are not even looked at: that makes Stone Soup several times as
fast. What it would take from there does not happen in these scenes but by mistake."""


class RememberedMotion(CombinedLinearGaussianTransitionModel):  # type: ignore[misc]
    """The same model, which does not work out its matrices anew for every track: half of the time
    of a step went into that.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._remembered: dict[tuple[str, timedelta], Any] = {}

    def matrix(self, **kwargs: Any) -> Any:
        """As Stone Soup's."""
        return self._once("matrix", kwargs)

    def covar(self, **kwargs: Any) -> Any:
        """As Stone Soup's."""
        return self._once("covar", kwargs)

    def _once(self, what: str, kwargs: dict[str, Any]) -> Any:
        interval = kwargs.get("time_interval")
        if interval is None:
            return getattr(super(), what)(**kwargs)
        key = what, interval
        if key not in self._remembered:
            self._remembered[key] = getattr(super(), what)(**kwargs)
        return self._remembered[key]


class StrongInitiator(Initiator):  # type: ignore[misc]
    """Begins tracks of detections of a score or better."""

    initiator = Property(MultiMeasurementInitiator)
    score = Property(float)

    def initiate(self, detections: set[Any], timestamp: datetime, **kwargs: Any) -> set[Any]:
        """As Stone Soup's initiators."""
        begun = {each for each in detections if each.metadata["score"] >= self.score}
        return set(self.initiator.initiate(begun, timestamp, **kwargs))


class GnnTracker:
    """Stone Soup's ``MultiTargetTracker`` in pixels and seconds, fed frame by frame."""

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        number = {key: float(value) for key, value in parameters.items()}
        self._least_score = number["least_score"]
        self._shown = timedelta(seconds=number["shown_seconds"])
        noise = np.eye(2) * number["position_sigma_px"] ** 2
        self._model = LinearGaussian(ndim_state=4, mapping=_POSITION, noise_covar=noise)
        axis = ConstantVelocity(number["q"])
        predictor = KalmanPredictor(RememberedMotion([axis, axis]))
        updater = KalmanUpdater(self._model)
        gate = DistanceHypothesiser(
            predictor, updater, measure=Mahalanobis(), missed_distance=number["gate_sigmas"]
        )
        nearest = DetectionKDTreeGNN2D(gate, predictor, updater, max_distance=_FARTHEST_PX)
        speed = number["initial_speed_sigma"] ** 2
        prior = GaussianState(np.zeros((4, 1)), np.diag([0.0, speed, 0.0, speed]))
        begins = MultiMeasurementInitiator(
            prior_state=prior,
            measurement_model=self._model,
            deleter=UpdateTimeDeleter(timedelta(seconds=number["tentative_coast_seconds"])),
            data_associator=nearest,
            updater=updater,
            min_points=int(number["min_points"]),
        )
        tracker = MultiTargetTracker(
            initiator=StrongInitiator(begins, number["birth_score"]),
            deleter=UpdateTimeDeleter(timedelta(seconds=number["coast_seconds"])),
            detector=self._frames(),
            data_associator=nearest,
            updater=updater,
        )
        self._waiting: deque[tuple[datetime, set[Any]]] = deque()
        self._steps = iter(tracker)
        self._ids: dict[str, int] = {}

    def step(self, detections: Detections) -> Reported:
        """Tracks that had a detection lately."""
        now = _EPOCH + timedelta(seconds=detections.pts_seconds)
        rows = strong(detections, self._least_score)
        seen = {
            Detection(
                xy[:, None],
                timestamp=now,
                measurement_model=self._model,
                metadata={"score": score},
            )
            for xy, score in zip(detections.xy[rows], detections.score[rows].tolist(), strict=True)
        }
        self._waiting.append((now, seen))
        _, tracks = next(self._steps)
        shown = [track for track in tracks if now - _last_update(track) <= self._shown]
        positions = [[float(track.state_vector[k]) for k in _POSITION] for track in shown]
        # Sets have no order of their own: ids are given from left to right.
        for k in sorted(range(len(shown)), key=positions.__getitem__):
            self._ids.setdefault(shown[k].id, len(self._ids) + 1)
        return Reported.points([self._ids[track.id] for track in shown], positions)

    def _frames(self) -> Iterator[tuple[datetime, set[Any]]]:
        while True:
            yield self._waiting.popleft()


def _last_update(track: Any) -> datetime:
    for state in reversed(track.states):
        if isinstance(state, Update):
            time: datetime = state.timestamp
            return time
    return datetime.min


def build(name: str, stream: Stream, parameters: Mapping[str, Parameter]) -> GnnTracker:
    """Nothing of the stream is needed beside its times."""
    del name, stream
    return GnnTracker(parameters)
