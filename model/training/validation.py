"""What a training is worth on pictures that it never sees, asked now and then while it runs."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from model.checkpoint import LoadedNetwork
from model.training.data.published import PictureSet
from model.training.evaluation import evaluate_pictures, exact_engine
from model.training.metrics import Counts

THRESHOLD = 0.5
"""At which the figures of a validation are taken."""


@dataclass(frozen=True, slots=True)
class Validation:
    """Evaluates weights as ``python -m model.evaluate`` does: whole pictures, single precision.

    Raises:
        ValueError: ``every`` or ``patience`` is under 1.
    """

    pictures: PictureSet
    every: int = 500
    """Steps between two validations; the last step is validated, too."""
    patience: int | None = None
    """The training ends after so many validations in a row without a better IoU; None: never."""

    def __post_init__(self) -> None:
        for name, value in (("every", self.every), ("patience", self.patience)):
            if value is not None and value < 1:
                raise ValueError(f"{name} of a validation is {value}, expected 1 or more")

    def due(self, step: int, steps: int, validated: int) -> bool:
        """Whether to validate after so many steps of all; the last time was after ``validated``."""
        return step > validated and (step % self.every == 0 or step == steps)

    def exhausted(self, steps_since_best: int) -> bool:
        """Whether the training has gone without a better IoU for too long."""
        return self.patience is not None and steps_since_best >= self.patience * self.every

    def __call__(self, weights: LoadedNetwork, device: torch.device) -> Counts:
        """The counts at the threshold 0.5."""
        with exact_engine(weights, device) as engine:
            return evaluate_pictures(engine, self.pictures, [THRESHOLD])[0].at(THRESHOLD)
