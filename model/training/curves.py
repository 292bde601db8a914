"""TensorBoard's event files: the curves of a training, to look at while it runs and afterwards."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from model.training.metrics import Counts

if TYPE_CHECKING:
    from model.training.train import Training

_log = logging.getLogger(__name__)
_EVERY = 10


class CurveLog:
    """Writes loss, learning rate and the figures of validations into a folder.

    See them with ``tensorboard --logdir FOLDER``. Without the package ``tensorboard`` nothing is
    written, and a log line says so.

    Args:
        folder: where; made if need be.
        step: of the training as it begins or goes on: what was written beyond it is void.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._writer = None
        if importlib.util.find_spec("tensorboard") is None:
            _log.info("no curves are written: pip install tensorboard")
            return
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def stepped(self, training: Training, loss: float) -> None:
        """Every tenth step is written."""
        if training.step % _EVERY == 0:
            self._write("loss", loss, training.step)
            taken = training.recipe.rate_at(training.step - 1)
            self._write("learning rate", taken, training.step)

    def validated(self, training: Training, counts: Counts) -> None:
        """Every rate that there is."""
        for name in ("iou", "niou", "f1", "pd", "fa"):
            if (rate := getattr(counts, name)) is not None:
                self._write(f"validation/{name}", rate, training.step)

    def close(self) -> None:
        """Write out what is still in memory."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, name: str, value: float, step: int) -> None:
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)
