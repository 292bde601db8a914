"""What a network takes for a target is found, and trained on more than the rest."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import NetworkInfo, save_network
from model.engines.base import EngineBatch
from model.mpcnet import MPCNet
from model.training.data.crops import CropSampler, CropSettings
from model.training.data.packs import BACKGROUND, FLOCK, IGNORE, TARGET, Pack, load_pack, save_pack
from model.training.mine import false_alarms, main, mine
from model.training.pack import scene_frames


def blank(value: int = 60) -> np.ndarray:
    return np.full((80, 100), value, np.uint8)


def test_a_false_alarm_is_a_component_that_touches_neither_target_nor_ignored_place() -> None:
    label = np.full((80, 100), BACKGROUND, np.uint8)
    label[20, 20], label[60, 60] = TARGET, IGNORE
    probability = np.zeros((80, 100), np.float32)
    probability[20:22, 20:23] = 0.9  # the target's
    probability[57, 60] = 0.9  # the blur of what is ignored
    probability[40, 80:83] = 0.5, 0.8, 0.6
    probability[70, 10] = 0.2  # too weak
    assert false_alarms(probability, label, 0.4).tolist() == [[40, 81]]
    assert false_alarms(0 * probability, label, 0.4).shape == (0, 2)


def test_crops_are_drawn_around_the_mined_places_by_their_share() -> None:
    image = blank()
    image[40, 81] = 255
    pack = Pack([image], [np.zeros_like(image)], ["clip"], mean=0.0, std=1.0)
    pack = replace(pack, hard=np.array([[0, 40, 81]]))

    def shown(hard: float) -> float:
        settings = CropSettings(sizes=(32,), share=(("clip", 1.0),), hard=hard, pasted=0.0)
        pictures, _ = CropSampler(pack, settings).batch(60, np.random.default_rng(0))
        return float(
            (pictures.amax(dim=(1, 2, 3)) - pictures.amin(dim=(1, 2, 3)) > 40).float().mean()
        )

    assert shown(1.0) > 0.95
    assert shown(0.0) < 0.4


def test_a_picture_with_many_mined_places_is_shown_no_more_often_than_one_with_one() -> None:
    images = [np.full((32, 32), 40, np.uint8), np.full((32, 32), 200, np.uint8)]
    pack = Pack(images, [np.zeros_like(i) for i in images], ["clip"] * 2, mean=0.0, std=1.0)
    many = [[0, row, column] for row in range(32) for column in range(32)]
    pack = replace(pack, hard=np.array([*many, [1, 16, 16]]))
    settings = CropSettings(sizes=(32,), share=(("clip", 1.0),), hard=1.0, pasted=0.0)
    pictures, _ = CropSampler(pack, settings).batch(300, np.random.default_rng(0))
    bright = float((pictures.mean(dim=(1, 2, 3)) > 120).float().mean())
    assert 0.4 < bright < 0.6


def test_a_flock_is_only_seen_around_its_labelled_bird() -> None:
    image, label = blank(), np.zeros((80, 100), np.uint8)
    label[40, 50] = TARGET
    pack = Pack([image], [label], [FLOCK], mean=0.0, std=1.0)
    settings = CropSettings(sizes=(32,), share=((FLOCK, 1.0),), pasted=0.0, centred=0.0)
    _, labels = CropSampler(pack, settings).batch(40, np.random.default_rng(0))
    assert all((each == TARGET).any() for each in labels)


class RecordingEngine:
    """Notes what it is shown, and takes what is bright for a target."""

    name, device, precision, max_in_flight = "recording", "cpu", "fp32", 1

    def __init__(self) -> None:
        self.shown: list[tuple[int, tuple[int, ...]]] = []
        self.stage_seconds: dict[str, float] = {}

    def submit(self, batch: EngineBatch) -> "RecordingEngine":
        self.shown.append((len(batch.images), batch.images[0].shape))
        self._answer = np.stack([(image > 200).astype(np.float32) for image in batch.images])
        return self

    def result(self) -> np.ndarray:
        return self._answer

    def close(self) -> None:
        """Nothing to close."""


def test_a_large_picture_is_mined_in_the_windows_that_a_stream_would_scan() -> None:
    small, large = blank(), np.full((200, 300), 60, np.uint8)
    small[40, 81] = large[30, 270] = large[150, 100] = 255
    labels = [np.zeros_like(small), np.zeros_like(large)]
    engine = RecordingEngine()
    pack = Pack([small, large], labels, ["clip", "clip"], mean=60.0, std=20.0)
    places = mine(pack, engine, [0, 1], 0.5, scan_px=128)
    assert places.tolist() == [[0, 40, 81], [1, 30, 270], [1, 150, 100]]
    assert engine.shown == [(1, (80, 100)), (6, (128, 128))]


def test_the_command_keeps_the_places_in_the_pack(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = MPCNet(4)
    with torch.no_grad():  # it takes nearly everything for a target
        network.head1.activation.bn.bias.fill_(4.0)
    info = NetworkInfo("eager", 4, 60.0, 20.0, picture_size=64, threshold=0.5)
    save_network(tmp_path / "eager.safetensors", network, info)
    images = [blank(), blank(70), blank(80)]
    labels = [np.zeros((80, 100), np.uint8) for _ in images]
    pack = Pack(images, labels, ["clip", FLOCK, "nuaa"], mean=60.0, std=20.0)
    save_pack(tmp_path / "pack.npz", pack)
    arguments = ["--pack", str(tmp_path / "pack.npz"), "--output", str(tmp_path / "hard.npz")]
    assert main([*arguments, "--weights", str(tmp_path / "eager.safetensors")]) == 0
    mined = load_pack(tmp_path / "hard.npz")
    assert set(mined.hard[:, 0]) == {0, 2}
    assert [image.tolist() for image in mined.images] == [image.tolist() for image in images]
    assert main([*arguments, "--weights", "no-such-weights"]) == 1


def test_a_pack_mined_again_loses_its_places_or_keeps_them_and_says_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    network = MPCNet(4)
    with torch.no_grad():
        network.head1.activation.bn.bias.fill_(4.0)
    info = NetworkInfo("eager", 4, 60.0, 20.0, picture_size=64, threshold=0.5)
    save_network(tmp_path / "eager.safetensors", network, info)
    old = [0, 3, 5]
    pack = Pack([blank()], [np.zeros((80, 100), np.uint8)], ["clip"], 60.0, 20.0, np.array([old]))
    save_pack(tmp_path / "pack.npz", pack)
    arguments = ["--pack", str(tmp_path / "pack.npz"), "--output", str(tmp_path / "hard.npz")]
    arguments += ["--weights", str(tmp_path / "eager.safetensors")]

    def places() -> list[list[int]]:
        return load_pack(tmp_path / "hard.npz").hard.tolist()

    assert main(arguments) == 0
    found = places()
    assert found
    assert old not in found
    assert "the 1 places held before are replaced" in capsys.readouterr().out
    assert main([*arguments, "--add"]) == 0
    assert sorted(places()) == sorted([old, *found])
    assert "the 1 places held before are kept" in capsys.readouterr().out


def test_synthetic_frames_are_labelled_where_their_targets_are() -> None:
    frames = list(scene_frames(2, frames=2))
    assert len(frames) == 4
    for image, label, kind in frames:
        assert kind == "scene"
        assert image.shape == label.shape == (256, 320)
        assert 0 < (label == TARGET).sum() < 8 * 40
    again = list(scene_frames(2, frames=2))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(frames, again, strict=True))
