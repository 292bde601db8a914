"""``python -m model.training.mine``: find what a network takes for targets in a pack's background.

The places are kept in the pack, and a training on it draws a share of its crops around them (hard
negative mining): most background is easy and teaches nothing. Mine with the weights that the
training goes on from: what others take for targets is not what these have to unlearn.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from model.checkpoint import load_network, resolve_weights
from model.engines import build_engine
from model.engines.base import Engine, EngineBatch
from model.training.data.packs import BACKGROUND, FLOCK, Pack, load_pack, save_pack
from model.windows import Mosaic, scan_windows

_NEAR_PX = 4
"""A false alarm this near to a target or an ignored place is its blur."""


def false_alarms(
    probability: NDArray[np.float32], label: NDArray[np.uint8], threshold: float
) -> NDArray[np.int64]:
    """(K, 2) row and column of the peak of each component that lies on background alone.

    Args:
        probability: (H, W) 0..1.
        label: (H, W) of BACKGROUND, TARGET or IGNORE.
        threshold: from which on a pixel is taken for a target.
    """
    kernel = np.ones((2 * _NEAR_PX + 1, 2 * _NEAR_PX + 1), dtype=np.uint8)
    near = cv2.dilate((label != BACKGROUND).astype(np.uint8), kernel).astype(bool)
    count, labels = cv2.connectedComponents(
        (probability >= threshold).astype(np.uint8), connectivity=8
    )
    places = []
    for component in range(1, count):
        own = labels == component
        if not (own & near).any():
            peak = int(np.argmax(np.where(own, probability, -1.0)))
            places.append(np.unravel_index(peak, label.shape))
    return np.array(places, dtype=np.int64).reshape(-1, 2)


def mine(
    pack: Pack, engine: Engine, pictures: Sequence[int], threshold: float, scan_px: int
) -> NDArray[np.int64]:
    """(K, 3) picture, row and column of the false alarms in some of a pack's pictures.

    Args:
        pack: the pictures and their labels.
        engine: what runs the network.
        pictures: indices into the pack.
        threshold: from which on a pixel is taken for a target.
        scan_px: side of the windows that large pictures are seen in, as in a stream.
    """
    found = []
    for which in pictures:
        probability = _seen(engine, pack.images[which], scan_px)
        places = false_alarms(probability, pack.labels[which], threshold)
        found.append(np.insert(places, 0, which, axis=1))
    return np.concatenate(found) if found else np.empty((0, 3), dtype=np.int64)


def _seen(engine: Engine, image: NDArray[np.uint8], scan_px: int) -> NDArray[np.float32]:
    """(H, W) probability, from the same windows that a stream would scan the picture with."""
    height, width = image.shape
    windows = scan_windows(height, width, scan_px)
    parts = [image] if windows is None else [window.cut(image) for window in windows]
    gain, offset = np.ones(len(parts), np.float32), np.zeros(len(parts), np.float32)
    seen = engine.submit(EngineBatch(parts, gain, offset)).result()
    if windows is None:
        return np.asarray(seen[0], np.float32)
    whole = Mosaic(height, width)
    for window, part in zip(windows, seen, strict=True):
        whole.add(window, part)
    return whole.probability


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    made = argparse.ArgumentParser(
        prog="python -m model.training.mine",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--pack", type=Path, required=True, help="the pack (.npz)")
    made.add_argument("--weights", required=True, help="name or path of the network's weights")
    made.add_argument("--output", type=Path, required=True, help="the pack with the places (.npz)")
    made.add_argument("--pictures", type=int, default=600, help="so many, drawn at random")
    made.add_argument("--threshold", type=float, default=0.3, help="of a false alarm, 0..1")
    made.add_argument("--seed", type=int, default=0, help="of the draw")
    made.add_argument(
        "--add", action="store_true", help="keep the places that the pack holds already, too"
    )
    made.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    made.add_argument("--threads", type=int, help="of the CPU; all cores unless given")
    options = made.parse_args(arguments)
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        pack = load_pack(options.pack)
        network = load_network(resolve_weights(options.weights))
        background = [i for i, kind in enumerate(pack.kinds) if kind != FLOCK]
        rng = np.random.default_rng(options.seed)
        count = min(options.pictures, len(background))
        chosen = sorted(int(i) for i in rng.choice(background, count, replace=False))
        name = options.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        device = torch.device(name)
        with closing(
            build_engine(network, device, precision="auto", threads=options.threads, in_flight=1)
        ) as engine:
            found = mine(pack, engine, chosen, options.threshold, network.info.picture_size)
        hard = np.unique(np.concatenate([pack.hard, found]), axis=0) if options.add else found
        save_pack(options.output, replace(pack, hard=hard))
    except KeyboardInterrupt:
        print("model.training.mine: interrupted, nothing is written", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"model.training.mine: {error}", file=sys.stderr)
        return 1
    fate = "kept" if options.add else "replaced"
    before = f"; the {len(pack.hard)} places held before are {fate}"
    print(f"{len(found)} false alarms in {count} pictures{before if len(pack.hard) else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
