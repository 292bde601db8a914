"""Train MPCNet on a pack of pictures; see ``python -m model.train --help``."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from model.checkpoint import LoadedNetwork, NetworkInfo, load_network, save_network
from model.mpcnet import MPCNet, attention_grid_of
from model.training.data.crops import CropSampler, CropSettings
from model.training.data.packs import IGNORE, TARGET, Pack
from model.training.losses import segmentation_loss
from model.training.metrics import Counts
from model.training.validation import Validation

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides how a training goes. Saved with the weights."""

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
    seed: int = 2026
    threads: int | None = None
    crops: CropSettings = field(default_factory=CropSettings)

    def rate_at(self, step: int) -> float:
        """The learning rate: a linear warm-up, then a cosine down to a hundredth."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        part = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, part))))


class Training:
    """One training: its network, optimiser, moving average and random state.

    Raises:
        ValueError: the pack holds nothing of what the recipe's crops show.
    """

    def __init__(self, pack: Pack, recipe: Recipe, device: str = "cpu") -> None:
        if recipe.threads is not None:
            torch.set_num_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.pack = pack
        self.device = torch.device(device)
        self.network = _placed(MPCNet(recipe.width), self.device)
        self.average = _placed(MPCNet(recipe.width), self.device)
        self.average.load_state_dict(self.network.state_dict())
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.sampler = CropSampler(pack, recipe.crops, np.random.default_rng(recipe.seed))
        self.step = 0
        self.seconds = 0.0
        self.best_iou, self.best_step = -1.0, 0
        """Of the validations so far, and after which step."""

    def finetune_from(self, weights: Path) -> None:
        """Start from other weights' parameters.

        Raises:
            WeightsError: they cannot be read.
            ValueError: they have another width.
        """
        loaded = load_network(weights)
        if loaded.width != self.recipe.width:
            raise ValueError(
                f"{weights} has width {loaded.width}, this training width {self.recipe.width}"
            )
        self.network.load_state_dict(loaded.state_dict())
        self.average.load_state_dict(loaded.state_dict())

    def advance(self) -> float:
        """Take one optimiser step; returns the loss."""
        started = time.monotonic()
        recipe = self.recipe
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.rate_at(self.step)
        pictures, labels = self.sampler.batch(recipe.batch)
        x = torch.from_numpy(pictures).to(self.device)
        x = x.contiguous(memory_format=torch.channels_last)
        label = torch.from_numpy(labels).to(self.device)
        target, weight = (label == TARGET).float(), (label != IGNORE).float()

        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = self.network.forward_logits(x, attention_grid_of(x.shape[-1]))
        loss = segmentation_loss(tuple(part.float() for part in logits), target, weight)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self._update_average()
        self.step += 1
        self.seconds += time.monotonic() - started
        return float(loss.detach())

    @torch.no_grad()
    def _update_average(self) -> None:
        # Early on the average follows closely, or it would remember the random start.
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        pairs = zip(
            self.average.state_dict().values(), self.network.state_dict().values(), strict=True
        )
        for mean, now in pairs:
            if mean.dtype.is_floating_point:
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)

    def save_checkpoint(self, path: Path) -> None:
        """Write all that a resumed training needs, atomically."""
        state = {
            "recipe": json.dumps(asdict(self.recipe)),
            "step": self.step,
            "seconds": self.seconds,
            "best_iou": self.best_iou,
            "best_step": self.best_step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "numpy_random": json.dumps(self.sampler.rng.bit_generator.state),
            "torch_random": torch.get_rng_state(),
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def resume(self, path: Path) -> None:
        """Go on where a checkpoint stopped, bit for bit on one device.

        Raises:
            ValueError: it was written under another recipe.
        """
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        theirs, ours = json.loads(state["recipe"]), json.loads(json.dumps(asdict(self.recipe)))
        differing = sorted(key for key in ours if theirs.get(key) != ours[key] and key != "threads")
        if differing:
            raise ValueError(f"{path} was trained under another recipe: {', '.join(differing)}")
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.sampler.rng.bit_generator.state = json.loads(state["numpy_random"])
        torch.set_rng_state(state["torch_random"].cpu())
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        self.best_iou, self.best_step = float(state["best_iou"]), int(state["best_step"])

    def weights(self) -> LoadedNetwork:
        """The moving average, as a network that carries what must travel with it."""
        info = NetworkInfo(
            name=self.recipe.name,
            width=self.recipe.width,
            mean=self.pack.mean,
            std=self.pack.std,
            picture_size=max(self.recipe.crops.sizes),
            threshold=0.5,
            recipe={**asdict(self.recipe), "step": self.step, "seconds": round(self.seconds)},
        )
        loaded = LoadedNetwork(info)
        loaded.load_state_dict(self.average.state_dict())
        return loaded.eval()

    def save_weights(self, path: Path) -> None:
        """Write the moving average as weights that a stream can load."""
        weights = self.weights()
        save_network(path, weights, weights.info)


def _placed(network: MPCNet, device: torch.device) -> MPCNet:
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class Watcher(Protocol):
    """Is told how a training goes."""

    def stepped(self, training: Training, loss: float) -> None:
        """A step was taken; the loss is smoothed over some fifty."""

    def validated(self, training: Training, counts: Counts) -> None:
        """The average's weights were validated."""


def run(
    training: Training,
    output: Path,
    *,
    checkpoint_every: int = 100,
    validation: Validation | None = None,
    watchers: Sequence[Watcher] = (),
) -> None:
    """Train to the end of the recipe; Ctrl-C saves and stops.

    Writes ``checkpoint.pt`` (to resume) and ``NAME.safetensors`` into ``output``: the newest
    weights, or, with a validation, those of the best IoU so far.
    """
    output.mkdir(parents=True, exist_ok=True)
    weights, steps = output / f"{training.recipe.name}.safetensors", training.recipe.steps
    smoothed = math.nan
    try:
        while training.step < steps:
            loss = training.advance()
            smoothed = loss if math.isnan(smoothed) else 0.98 * smoothed + 0.02 * loss
            for watcher in watchers:
                watcher.stepped(training, smoothed)
            if training.step % checkpoint_every == 0:
                pace = training.seconds / training.step
                _log.info(
                    "step %d of %d, loss %.4f, %.2f s a step", training.step, steps, smoothed, pace
                )
                training.save_checkpoint(output / "checkpoint.pt")
                if validation is None:
                    training.save_weights(weights)
            if validation is not None and validation.due(training.step, steps):
                counts = _validate(training, validation, weights)
                for watcher in watchers:
                    watcher.validated(training, counts)
                if validation.patience is not None and (
                    training.step - training.best_step >= validation.patience * validation.every
                ):
                    _log.info("stopped early: the best is that of step %d", training.best_step)
                    break
    finally:
        training.save_checkpoint(output / "checkpoint.pt")
        if validation is None:
            training.save_weights(weights)


def _validate(training: Training, validation: Validation, best: Path) -> Counts:
    counts = validation(training.weights(), training.device)
    iou = counts.iou or 0.0
    _log.info(
        "validation at step %d: IoU %.4f, Pd %s of %d, Fa %.1fe-6%s",
        training.step,
        iou,
        sum(counts.detected),
        sum(counts.targets),
        1e6 * (counts.fa or 0.0),
        ", the best so far" if iou > training.best_iou else "",
    )
    if iou > training.best_iou:
        training.best_iou, training.best_step = iou, training.step
        training.save_weights(best)
    return counts


def with_overrides(recipe: Recipe, **changes: object) -> Recipe:
    """The recipe with those fields changed that are not None."""
    return replace(recipe, **{key: value for key, value in changes.items() if value is not None})  # type: ignore[arg-type]
