"""Training samples: random crops of a pack's pictures, augmented, with their labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from model.training.data.boxes import SHARE_OF_PEAK
from model.training.data.packs import BACKGROUND, FLOCK, IGNORE, TARGET, Pack


@dataclass(frozen=True, slots=True)
class CropSettings:
    """How crops are drawn and changed.

    Raises:
        ValueError: the sizes are not what a network can be trained on.
    """

    sizes: tuple[int, ...] = (64, 96, 128)
    """Sides of crops, px, smallest first, one of which each batch draws: gated inference looks
    through small windows, a scan at all of the picture."""
    share: tuple[tuple[str, float], ...] = (
        ("clip", 0.3),
        (FLOCK, 0.1),
        ("nuaa", 0.15),
        ("scene", 0.35),
        ("background", 0.1),
    )
    """How much of a batch each collection gives; a collection the pack lacks is left out."""
    hard: float = 0.3
    """Share of a collection's crops that lie around mined false alarms, where it has some."""
    centred: float = 0.75
    """Share of the other crops that lie around a target, where the picture has one."""
    pasted: float = 0.35
    """Share of crops that get one to three synthetic point targets."""

    def __post_init__(self) -> None:
        sizes = self.sizes
        if (
            not sizes
            or any(size < 32 or size % 8 for size in sizes)
            or list(sizes) != sorted(sizes)
        ):
            raise ValueError(
                f"sides of crops are {sizes}, expected multiples of 8, 32 or more, smallest first"
            )


class CropSampler:
    """Draws augmented crops, the same ones for the same random generator."""

    def __init__(self, pack: Pack, settings: CropSettings, rng: np.random.Generator) -> None:
        self._pack = pack
        self._settings = settings
        self.rng = rng
        self._members = {
            kind: [i for i, have in enumerate(pack.kinds) if have == kind]
            for kind, _ in settings.share
        }
        present = [(kind, share) for kind, share in settings.share if self._members[kind]]
        if not present:
            raise ValueError(f"the pack holds none of {[kind for kind, _ in settings.share]}")
        self._kinds = [kind for kind, _ in present]
        shares = np.array([share for _, share in present])
        self._shares = shares / shares.sum()
        self._places: dict[int, NDArray[np.int64]] = {
            int(which): pack.hard[pack.hard[:, 0] == which, 1:]
            for which in np.unique(pack.hard[:, 0])
        }
        # Picture by picture, or the few that are all texture would be most of what is seen.
        self._hard = {
            kind: [which for which in self._places if pack.kinds[which] == kind]
            for kind in self._kinds
        }
        self._targets = [np.argwhere(label == TARGET) for label in pack.labels]

    def batch(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Draw a batch of one of the settings' sizes S.

        Args:
            count: how many crops of the middle size; of another, about as many pixels.

        Returns:
            (N, 1, S, S) normalised float32 pictures and (N, 1, S, S) uint8 labels.
        """
        sizes = self._settings.sizes
        size = sizes[int(self.rng.integers(len(sizes)))]
        count = max(1, round(count * (sizes[len(sizes) // 2] / size) ** 2))
        crops = [self._crop(size) for _ in range(count)]
        pictures = np.stack([picture for picture, _ in crops])[:, None]
        labels = np.stack([label for _, label in crops])[:, None]
        return ((pictures - self._pack.mean) / self._pack.std).astype(np.float32), labels

    def _crop(self, size: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        rng = self.rng
        which, place = self._where()
        image, label = self._pack.images[which], self._pack.labels[which]
        height, width = image.shape
        if place is not None:
            top, left = (int(v - rng.integers(4, size - 4)) for v in place)
        else:
            top = int(rng.integers(0, max(1, height - size + 1)))
            left = int(rng.integers(0, max(1, width - size + 1)))
        top = min(max(top, 0), max(0, height - size))
        left = min(max(left, 0), max(0, width - size))
        picture = image[top : top + size, left : left + size].astype(np.float32)
        truth = label[top : top + size, left : left + size].copy()
        missing = ((0, size - picture.shape[0]), (0, size - picture.shape[1]))
        picture = np.pad(picture, missing, mode="reflect" if min(picture.shape) > 48 else "edge")
        truth = np.pad(truth, missing, constant_values=IGNORE)

        if rng.random() < 0.5:
            picture, truth = picture[:, ::-1], truth[:, ::-1]
        if rng.random() < 0.5:
            picture, truth = picture[::-1], truth[::-1]
        if rng.random() < 0.5:
            picture, truth = picture.T, truth.T
        picture, truth = np.ascontiguousarray(picture), np.ascontiguousarray(truth)
        self._photometric(picture)
        if rng.random() < self._settings.pasted:
            for _ in range(int(rng.integers(1, 4))):
                self._paste(picture, truth)
        return np.clip(picture, 0, 255), truth

    def _where(self) -> tuple[int, NDArray[np.int64] | None]:
        """Which picture, and what row and column of it the crop must show; None: any."""
        rng = self.rng
        kind = self._kinds[int(rng.choice(len(self._kinds), p=self._shares))]
        if self._hard[kind] and rng.random() < self._settings.hard:
            which = int(rng.choice(self._hard[kind]))
            places = self._places[which]
            return which, places[int(rng.integers(len(places)))]
        which = int(rng.choice(self._members[kind]))
        targets = self._targets[which]
        if len(targets) and (kind == FLOCK or rng.random() < self._settings.centred):
            return which, targets[int(rng.integers(len(targets)))]
        return which, None

    def _photometric(self, picture: NDArray[np.float32]) -> None:
        """Another contrast and brightness, and a noisier sensor, in place."""
        rng = self.rng
        mean = float(picture.mean())
        picture -= mean
        picture *= float(np.exp(rng.uniform(-0.6, 0.4)))
        picture += mean + float(rng.normal(0, 15))
        if rng.random() < 0.4:
            sigma = float(rng.uniform(0.5, 6.0))
            picture += rng.normal(0, sigma, picture.shape).astype(np.float32)

    def _paste(self, picture: NDArray[np.float32], truth: NDArray[np.uint8]) -> None:
        """Add a point target blurred by a Gaussian PSF, in place, where nothing else is."""
        rng, size = self.rng, len(picture)
        sigma = float(rng.uniform(0.6, 1.6))
        y, x = rng.uniform(6, size - 7, 2)
        reach = 6
        y0, x0 = round(y) - reach, round(x) - reach
        window = np.s_[y0 : y0 + 2 * reach + 1, x0 : x0 + 2 * reach + 1]
        if picture[window].shape != (13, 13) or (truth[window] != BACKGROUND).any():
            return
        surround = picture[window]
        noise = 1.4826 * float(np.median(np.abs(surround - ndimage.median_filter(surround, 3))))
        # Over textured ground a faint point is no target that anybody could tell apart.
        spread = 0.5 * float(surround.std())
        amplitude = float(rng.uniform(4.5, 14.0)) * max(noise, spread, 1.5)
        edges = np.arange(-reach - 0.5, reach + 1.0)
        along = [
            np.diff(special.erf((edges - offset) / (sigma * np.sqrt(2))))
            for offset in (y - round(y), x - round(x))
        ]
        spot = np.outer(*along)
        spot /= spot.max()
        surround += (amplitude * spot).astype(np.float32)
        truth[window][spot > SHARE_OF_PEAK] = TARGET
