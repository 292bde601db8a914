"""One training of MPCNet: its state, its steps, what is kept of it. `loop.py` runs it."""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.checkpoint import (
    LoadedNetwork,
    NetworkInfo,
    file_sha256,
    load_network,
    save_network,
)
from model.mpcnet import MPCNet, attention_grid_of
from model.training.data.crops import CropSampler
from model.training.data.packs import IGNORE, TARGET, Pack
from model.training.losses import segmentation_loss
from model.training.recipe import Recipe
from model.training.widen import widened
from model.training.world import World

_log = logging.getLogger(__name__)


class Training:
    """One training: its network, optimiser and moving average.

    What a step draws follows from the recipe's seed, the process and the step's number alone, so
    there is no random state to keep.

    Args:
        pack: what is trained on.
        recipe: how.
        device: on which.
        world: the processes that train together; the batch is shared out among them.

    Raises:
        ValueError: the pack holds nothing of what the recipe's crops show, or the batch cannot be
            shared out evenly.
    """

    def __init__(
        self, pack: Pack, recipe: Recipe, device: str = "cpu", world: World | None = None
    ) -> None:
        self.world = world or World()
        if recipe.batch % self.world.size:
            raise ValueError(
                f"a batch of {recipe.batch} cannot be shared out among {self.world.size} processes"
            )
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
            self.network.parameters(),
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=self.device.type == "cuda",
        )
        self.late = self.device.type == "cuda"
        """Whether a step's loss is looked at when the next one is on its way: a GPU is not waited
        for."""
        self._unchecked: Tensor | None = None
        self.sampler = CropSampler(pack, recipe.crops, self.device)
        self.normalisation = pack.mean, pack.std
        """Mean and standard deviation, grey levels, that pictures are normalised by."""
        self.origin: dict[str, object] = {}
        """What it was trained on and from, for the weights to tell; JSON."""
        self.step = 0
        self.seconds = 0.0
        self.best_iou, self.best_step = -1.0, 0
        """Of the validations so far, and after which step."""
        self.validated = 0
        """The step after which the last validation was."""

    def finetune_from(self, weights: Path) -> None:
        """Start from other weights' parameters, and normalise pictures as they do; from those of
        half the width, widened.

        Raises:
            WeightsError: they cannot be read.
            ValueError: they have another width.
        """
        start = load_network(weights)
        loaded: MPCNet = start
        if 2 * loaded.width == self.recipe.width:
            loaded = widened(loaded, np.random.default_rng(self.recipe.seed))
        if loaded.width != self.recipe.width:
            raise ValueError(
                f"{weights} has width {loaded.width}, this training width {self.recipe.width}: "
                "expected the same or half of it"
            )
        self.network.load_state_dict(loaded.state_dict())
        self.average.load_state_dict(loaded.state_dict())
        self.normalisation = start.info.mean, start.info.std
        self.origin["from"] = f"{start.info.name}, sha256 {file_sha256(weights)}"

    def advance(self) -> float | None:
        """Take one optimiser step; returns its loss or, where losses come late, that of the step
        before, unless :meth:`check_loss` told it.

        Raises:
            FloatingPointError: the loss is no number any more; the step is not taken, or, where
                losses come late, none after it is.
        """
        started = time.monotonic()
        recipe, world = self.recipe, self.world
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.rate_at(self.step)
        rng = np.random.default_rng((recipe.seed, world.rank, self.step))
        grey, label = self.sampler.batch(recipe.batch // world.size, rng)
        mean, std = self.normalisation
        x = (grey - mean) / std
        x = x.contiguous(memory_format=torch.channels_last)
        target, weight = (label == TARGET).float(), (label != IGNORE).float()

        self._set_mode(frozen=recipe.frozen_at(self.step))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = self.network.forward_logits(x, attention_grid_of(x.shape[-1]))
        loss = segmentation_loss(tuple(part.float() for part in logits), target, weight)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        shown = loss.detach().clone()
        world.average([shown, *self._shared()])
        if self.late:
            value, self._unchecked = self.check_loss(), shown
        else:
            value = _finite(shown, self.step + 1)
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self._update_average()
        self.step += 1
        self.seconds += time.monotonic() - started
        return value

    def check_loss(self) -> float | None:
        """The loss of the last step, if it was not looked at yet.

        Raises:
            FloatingPointError: it is no number.
        """
        if self._unchecked is None:
            return None
        value = _finite(self._unchecked, self.step)
        self._unchecked = None
        return value

    def _shared(self) -> list[Tensor]:
        """What the processes have to agree on after a backward pass."""
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        return gradients + [b for b in self.network.buffers() if b.is_floating_point()]

    def _set_mode(self, *, frozen: bool) -> None:
        self.network.train()
        if frozen:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    @torch.no_grad()
    def _update_average(self) -> None:
        # Early on the average follows closely, or it would remember the random start.
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        averages, news = self.average.state_dict(), self.network.state_dict()
        numbers = [name for name, mean in averages.items() if mean.dtype.is_floating_point]
        # All in a few calls: one by one, a GPU would spend longer on being told than on the sums.
        torch._foreach_lerp_(
            [averages[name] for name in numbers], [news[name] for name in numbers], 1 - decay
        )
        for name in averages.keys() - set(numbers):
            averages[name].copy_(news[name])

    def save_checkpoint(self, path: Path) -> None:
        """Write all that a resumed training needs, atomically.

        Raises:
            FloatingPointError: the last step's loss is no number; nothing is written.
        """
        self.check_loss()
        state = {
            "recipe": json.dumps(asdict(self.recipe)),
            "processes": self.world.size,
            "origin": json.dumps(self.origin),
            "step": self.step,
            "seconds": self.seconds,
            "best_iou": self.best_iou,
            "best_step": self.best_step,
            "validated": self.validated,
            "normalisation": self.normalisation,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def resume(self, path: Path) -> None:
        """Go on where a checkpoint stopped; on a CPU bit for bit.

        Raises:
            ValueError: it is no checkpoint, was written under another recipe, or was validated on
                other pictures, which this training might learn from.
        """
        state = _checkpoint(path, self.device)
        ours = json.loads(json.dumps(asdict(self.recipe)))
        theirs = _with_defaults(json.loads(state["recipe"]))
        theirs["processes"], ours["processes"] = state["processes"], self.world.size
        differing = sorted(key for key in ours if theirs.get(key) != ours[key] and key != "threads")
        if differing:
            raise ValueError(f"{path} was trained under another recipe: {', '.join(differing)}")
        origin = json.loads(state["origin"])
        if origin.get("validation") != self.origin.get("validation"):
            raise ValueError(
                f"{path} was validated on {origin.get('validation') or 'nothing'}: "
                "give --validate as it was given"
            )
        if origin.get("data") != self.origin.get("data"):
            _log.warning("%s was trained on other data; this goes on with what it is given", path)
        self.origin = {**origin, **self.origin}
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        for group in self.optimiser.param_groups:  # it may come from another kind of device
            group["fused"] = self.device.type == "cuda"
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        self.best_iou, self.best_step = float(state["best_iou"]), int(state["best_step"])
        self.validated = int(state["validated"])
        self.normalisation = tuple(state.get("normalisation", self.normalisation))

    def weights(self) -> LoadedNetwork:
        """The moving average, as a network that carries what must travel with it.

        Raises:
            FloatingPointError: the last step's loss is no number.
        """
        self.check_loss()
        info = NetworkInfo(
            name=self.recipe.name,
            width=self.recipe.width,
            mean=self.normalisation[0],
            std=self.normalisation[1],
            picture_size=max(self.recipe.crops.sizes),
            threshold=0.5,
            recipe={
                **asdict(self.recipe),
                **self.origin,
                "processes": self.world.size,
                "step": self.step,
                "seconds": round(self.seconds),
            },
        )
        loaded = LoadedNetwork(info)
        loaded.load_state_dict(self.average.state_dict())
        return loaded.eval()

    def save_weights(self, path: Path) -> None:
        """Write the moving average as weights that a stream can load.

        Raises:
            FloatingPointError: the last step's loss is no number; nothing is written.
        """
        weights = self.weights()
        save_network(path, weights, weights.info)


def _finite(loss: Tensor, step: int) -> float:
    if not math.isfinite(value := float(loss)):
        raise FloatingPointError(f"the loss of step {step} is {value}: lower the learning rate")
    return value


def _placed(network: MPCNet, device: torch.device) -> MPCNet:
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _with_defaults(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe that was saved, with what recipes did not say then."""
    default = json.loads(json.dumps(asdict(Recipe())))
    crops = {**default["crops"], **recipe.get("crops", {})}
    return {**default, **recipe, "crops": crops}


_PARTS = {
    *("recipe", "processes", "origin", "step", "seconds", "best_iou", "best_step", "validated"),
    *("network", "average", "optimiser"),
}


def _checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"{path} is not there: nothing to resume") from None
    except Exception as error:  # torch raises errors of every kind over damaged files
        raise ValueError(f"{path} is not a readable checkpoint ({type(error).__name__})") from error
    if not isinstance(state, dict) or not state.keys() >= _PARTS:
        raise ValueError(f"{path} is not a checkpoint of this program")
    return state
