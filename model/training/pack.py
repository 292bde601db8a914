"""``python -m model.training.pack``: decode pictures and clips once, for trainings to read.

Clips are read by the program's own sources, so that luma range, palettes and polarity are treated
in training as they are in a stream. Where a clip has boxes only, each box becomes a mask
(:mod:`model.training.data.boxes`); a box in which nothing stands out is ignored by the loss.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.schema import SourceSettings, SyntheticSettings
from model.training.data.boxes import SHARE_OF_PEAK, mask_from_box
from model.training.data.packs import FLOCK, IGNORE, TARGET, Pack, grey8, label_of, save_pack
from model.training.data.published import DatasetError, names_in, open_set
from streamer.scene import Scene
from streamer.types import StreamError

_Labelled = tuple[NDArray[np.uint8], NDArray[np.uint8], str]
_Box = tuple[float, float, float, float]

UNRELIABLE = frozenset(
    f"IR_{name}"
    for name in (
        *("BIRD_007", "BIRD_015", "BIRD_018", "BIRD_027", "BIRD_035", "BIRD_038", "BIRD_044"),
        *("BIRD_047", "DRONE_096", "DRONE_101", "DRONE_104"),
    )
)
"""Clips whose labels are missing or beside the target; the splits' README says what is wrong."""


def backgrounds(folder: Path, leave_out: Collection[str]) -> Iterator[_Labelled]:
    """Pictures without targets, but for those of some names."""
    for path in sorted(folder.glob("*.png")):
        if path.stem not in leave_out:
            image = _grey(path)
            yield image, np.zeros_like(image), "background"


def clip_frames(video: Path, every: int = 20, first: int = 7) -> Iterator[_Labelled]:
    """Every ``every``-th frame of a clip with the boxes of ``NAME.gt.txt``.

    Raises:
        StreamError: the clip cannot be read.
    """
    from streamer.sources.factory import open_source  # a training machine may lack its decoders

    flock = "BIRD" in video.stem
    boxes = _boxes(video.with_suffix(".gt.txt"), first_label=2 if flock else 1)
    if not boxes:
        return
    source = open_source(str(video), SourceSettings(), video.stem)
    source.open()
    try:
        while (frame := source.read()) is not None:
            if frame.index % every != first or frame.image.dtype != np.uint8:
                continue
            if flock and frame.index not in boxes:
                continue  # birds come in flocks, of which one is labelled, and not always
            image = frame.image.astype(np.uint8)
            yield image, _label(image, boxes[frame.index]), FLOCK if flock else "clip"
    finally:
        source.close()


def scene_frames(scenes: int, frames: int = 4, first_seed: int = 1000) -> Iterator[_Labelled]:
    """Frames of synthetic scenes of many strengths, optics, sensors and amounts of clutter.

    Faint point targets with exact labels, and dead pixels that are none. Seeds count up from
    ``first_seed``: the demonstration's own, 7, is never among them.
    """
    for seed in range(first_seed, first_seed + scenes):
        rng = np.random.default_rng(seed)
        settings = SyntheticSettings(
            seed=seed,
            targets=int(rng.integers(3, 9)),
            snr=float(rng.uniform(4, 10)),
            psf_sigma_px=float(rng.uniform(0.7, 1.5)),
            noise_sigma=float(rng.uniform(1, 5)),
            fixed_pattern_sigma=float(rng.uniform(0, 1.5)),
            dead_pixels=float(rng.uniform(0, 4e-4)),
            clutter=float(rng.uniform(8, 34)),
            camera_drift_px_per_second=float(rng.choice([0.0, 12.0])),
        )
        scene = Scene(settings)
        rows, columns = np.mgrid[: settings.height, : settings.width]
        for k in rng.choice(scene.frames, frames, replace=False):
            rendered = scene.render(int(k))
            label = np.zeros(rendered.image.shape, dtype=np.uint8)
            for x, y in rendered.truth.xy[rendered.truth.visible]:
                squared = (columns - x) ** 2 + (rows - y) ** 2
                share_of_peak = np.exp(-squared / (2 * settings.psf_sigma_px**2))
                label[share_of_peak > SHARE_OF_PEAK] = TARGET
            yield rendered.image.astype(np.uint8), label, "scene"


def _label(image: NDArray[np.uint8], boxes: list[_Box]) -> NDArray[np.uint8]:
    label = np.zeros(image.shape, dtype=np.uint8)
    for left, top, width, height in boxes:
        mask = mask_from_box(image, (left, top, width, height))
        if mask is not None:
            label[mask] = TARGET
            continue
        rows = slice(max(0, int(top) - 2), int(top + height) + 3)
        label[rows, max(0, int(left) - 2) : int(left + width) + 3] = IGNORE
    return label


def _boxes(path: Path, first_label: int) -> dict[int, list[_Box]]:
    """Boxes by frame index. The labels count pixels from 1, and frames from ``first_label``."""
    boxes: dict[int, list[_Box]] = defaultdict(list)
    for line in path.read_text().splitlines():
        frame, _, x, y, width, height, *_ = line.split(",")
        box = (float(x) - 1, float(y) - 1, float(width), float(height))
        boxes[int(frame) - first_label].append(box)
    return boxes


def _grey(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise StreamError(f"{path} is listed but cannot be read as a picture")
    return np.asarray(image, dtype=np.uint8)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    splits = Path(__file__).parent / "splits"
    made = argparse.ArgumentParser(prog="python -m model.training.pack", description=__doc__)
    made.add_argument("data", type=Path, help="holds NUAA-SIRST/, ir-video/ and background/")
    made.add_argument("--output", type=Path, required=True, help="the pack (.npz)")
    made.add_argument("--scenes", type=int, default=150, help="synthetic scenes, 4 frames each")
    options = made.parse_args(arguments)
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        clips = sorted(set(names_in(splits / "ir-video.train.txt")) - UNRELIABLE)
        own = names_in(splits / "NUAA-SIRST.val.txt")
        pictures = open_set(options.data / "NUAA-SIRST", "train", leave_out=own)
        samples = [
            *((grey8(sample), label_of(sample), "nuaa") for sample in pictures),
            *backgrounds(options.data / "background", names_in(splits / "background.val.txt")),
            *scene_frames(options.scenes),
        ]
        for clip in clips:
            samples += clip_frames(options.data / "ir-video" / f"{clip}.mp4")
        pixels = np.concatenate([image.ravel()[::97] for image, _, _ in samples])
        pack = Pack(
            images=[image for image, _, _ in samples],
            labels=[label for _, label, _ in samples],
            kinds=[kind for _, _, kind in samples],
            mean=float(pixels.mean()),
            std=float(pixels.std()),
        )
        save_pack(options.output, pack)
    except KeyboardInterrupt:
        print("model.training.pack: interrupted, nothing is written", file=sys.stderr)
        return 130
    except (DatasetError, OSError, StreamError) as error:
        print(f"model.training.pack: {error}", file=sys.stderr)
        return 1
    print(f"{len(samples)} pictures, mean {pack.mean:.2f}, deviation {pack.std:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
