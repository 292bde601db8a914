"""What decides how a training goes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from model.training.data.crops import CropSettings

PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides how a training goes. Saved with the weights.

    Raises:
        ValueError: a number with which nothing could be trained.
    """

    name: str = "mpcnet-s-live"
    width: int = 16
    steps: int = 6000
    batch: int = 8
    """Crops a step, of the middle size; of the others, about as many pixels."""
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    warmup_steps: int = 100
    ema: float = 0.995
    """Decay of the moving average of the weights, which is what gets saved."""
    frozen_statistics: float = 0.0
    """Share of the steps, the last ones, that normalise with the running statistics of the batch
    normalisations, as the finished network does, and not with the batch's own."""
    precision: str = "fp32"
    """Of the network's forward and backward pass: fp32, or bf16 by autocast; weights stay fp32."""
    seed: int = 2026
    threads: int | None = None
    crops: CropSettings = field(default_factory=CropSettings)

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"{name} of a training is {value}, expected 1 or more")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads of a training is {self.threads}, expected 1 or more")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"the learning rate is {self.learning_rate:g}, expected more than 0")
        if not 0 <= self.ema < 1:
            raise ValueError(f"the decay of the average is {self.ema:g}, expected 0 to less than 1")
        if not 0 <= self.frozen_statistics <= 1:
            raise ValueError(
                f"the share of steps with frozen statistics is {self.frozen_statistics:g}, "
                "expected 0 to 1"
            )
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision of a training is {self.precision!r}, expected {' or '.join(PRECISIONS)}"
            )

    def rate_at(self, step: int) -> float:
        """The learning rate: a linear warm-up, then a cosine down to a hundredth."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        part = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, part))))

    def frozen_at(self, step: int) -> bool:
        """Whether a step normalises with the running statistics."""
        return step >= self.steps * (1 - self.frozen_statistics)
