"""What the network is trained to lower."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 (torch's own habit)
from torch import Tensor

_BCE_SHARE = 2.0
"""Soft-IoU alone may collapse to an empty output: its gradient vanishes there."""


def segmentation_loss(logits: tuple[Tensor, ...], target: Tensor, weight: Tensor) -> Tensor:
    """Soft-IoU plus BCE, summed over the heads (deep supervision) and averaged over them.

    Args:
        logits: the heads' outputs, (B, 1, H, W) each.
        target: (B, 1, H, W) float, 1 on targets.
        weight: (B, 1, H, W) float, 0 where the loss must not look.
    """
    total = logits[0].new_zeros(())
    for logit in logits:
        probability = torch.sigmoid(logit) * weight
        overlap = (probability * target).sum(dim=(1, 2, 3))
        union = (probability + target * weight).sum(dim=(1, 2, 3)) - overlap
        soft_iou = (overlap + 1) / (union + 1)
        bce = F.binary_cross_entropy_with_logits(logit, target, weight, reduction="sum")
        total = total + (1 - soft_iou.mean()) + _BCE_SHARE * bce / weight.sum().clamp(min=1)
    return total / len(logits)
