"""Frames in, detections out, with real weights files on a CPU."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from configs.schema import DetectorSettings, RangeSettings, SyntheticSettings
from model.checkpoint import LoadedNetwork, NetworkInfo, WeightsError, load_network, save_network
from model.detector import NetworkDetector, build_detector
from model.engines.base import EngineBatch
from model.engines.torch_cpu import TorchCpuEngine
from model.mpcnet import MPCNet
from model.postprocess import detections_from_mask
from model.preprocess import RangeEstimator, normalise
from model.windows import Mosaic, Window
from streamer.scene import Scene
from streamer.types import FocusHints, Frame, StreamError

INFO = NetworkInfo(
    name="tiny", width=8, mean=100.0, std=40.0, picture_size=256, threshold=0.3, recipe={}
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = MPCNet(8)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_network(path, network, INFO)
    return path


def frame(image: np.ndarray, index: int = 0, source: str = "a", pts: float = 0.0) -> Frame:
    return Frame(
        image=image,
        bit_depth=image.dtype.itemsize * 8,
        index=index,
        pts_seconds=pts,
        utc=0.0,
        captured_seconds=0.0,
        source=source,
    )


def picture(seed: int, shape: tuple[int, int] = (50, 70)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def network_of(path: Path) -> LoadedNetwork:
    return load_network(path)


def test_normalisation_is_the_weights_own_and_pads_with_the_mean() -> None:
    pixels = torch.tensor([[[140, 60], [100, 255]]], dtype=torch.uint8)
    x = normalise(pixels, torch.ones(1), torch.zeros(1), INFO)
    assert x.shape == (1, 1, 32, 32)
    assert x[0, 0, :2, :2].tolist() == [[1.0, -1.0], [0.0, pytest.approx(155 / 40)]]
    assert x[0, 0, 2:].abs().max() == 0


def test_the_engine_gives_what_the_network_gives(weights: Path) -> None:
    network = network_of(weights)
    image = picture(1, (64, 96))
    engine = TorchCpuEngine(network, precision="auto", threads=None)
    one = np.ones(1, np.float32)
    probability = engine.submit(EngineBatch([image], one, 0 * one)).result()[0]
    x = (torch.from_numpy(image).float() - INFO.mean) / INFO.std
    with torch.inference_mode():
        expected = network(x[None, None])[0, 0].numpy()
    assert probability.shape == image.shape
    assert np.abs(probability - expected).max() < 1e-3


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_a_batch_of_many_sizes_equals_one_at_a_time(weights: Path, engine: str) -> None:
    settings = DetectorSettings(
        weights=str(weights), device="cpu", low_threshold=0.001, engine=engine, precision="fp32"
    )
    frames = [
        frame(picture(1), 4, "a"),
        frame(picture(2, (33, 41)), 9, "b"),
        frame(picture(3), 2, "c"),
        frame((picture(4).astype(np.uint16) * 64), 1, "d"),
    ]
    detector = build_detector(settings)
    together = detector.submit(frames).result()
    alone = [build_detector(settings).submit([each]).result()[0] for each in frames]
    for got, want, given in zip(together, alone, frames, strict=True):
        assert got.frame_index == given.index
        assert got.xy == pytest.approx(want.xy, abs=1e-3)
        assert got.score == pytest.approx(want.score, abs=1e-4)


def test_between_scans_a_window_finds_what_the_whole_picture_shows(weights: Path) -> None:
    rng = np.random.default_rng(5)
    image = rng.normal(90, 3, (160, 200)).astype(np.uint8)
    image[99:102, 119:122] += 80
    common = {"weights": str(weights), "device": "cpu", "engine": "torch", "low_threshold": 0.001}
    gated = build_detector(DetectorSettings(mode="gated", gate={"candidates": 0}, **common))
    assert gated.describe()["mode"] == "gated"
    hint = FocusHints(np.array([[118.0, 103.0]]), np.array([5.0]), 1)
    frames = [frame(image, k) for k in range(3)]
    whole, near, nowhere = (
        gated.submit([each], [hints]).result()[0]
        for each, hints in zip(
            frames, [FocusHints.empty(0), hint, FocusHints.empty(2)], strict=True
        )
    )
    assert len(whole) > 0
    assert len(near) > 0
    assert np.abs(near.xy - (118, 103)).max() <= 32
    assert len(nowhere) == 0
    full = build_detector(DetectorSettings(mode="full", **common))
    assert full.submit(frames[:1]).result()[0].xy == pytest.approx(whole.xy)


@pytest.mark.parametrize("mode", ["full", "gated"])
def test_a_picture_much_larger_than_those_trained_on_is_seen_in_windows_of_that_size(
    tmp_path: Path, mode: str
) -> None:
    """Three windows side by side, each of whose trusted parts shows what it shows alone."""
    torch.manual_seed(1)
    path = tmp_path / "small.safetensors"
    save_network(path, MPCNet(8), replace(INFO, picture_size=64))
    settings = DetectorSettings(
        weights=str(path), device="cpu", engine="torch", mode=mode, low_threshold=0.001
    )
    image = picture(7, (64, 160))
    found = build_detector(settings).submit([frame(image)]).result()[0]
    mosaic = Mosaic(64, 160)
    network, one = network_of(path), np.ones(1, np.float32)
    engine = TorchCpuEngine(network, precision="auto", threads=None)
    for window in (Window(0, 0, 64), Window(48, 0, 64), Window(96, 0, 64)):
        cut = EngineBatch([window.cut(image)], one, 0 * one)
        mosaic.add(window, engine.submit(cut).result()[0])
    expected = detections_from_mask(mosaic.probability, frame(image), settings, 0.3)
    assert len(expected) > 0
    assert found.xy == pytest.approx(expected.xy, abs=1e-3)
    assert found.score == pytest.approx(expected.score, abs=1e-4)


def test_the_threshold_is_the_weights_own_unless_set(weights: Path) -> None:
    assert build_detector(DetectorSettings(weights=str(weights))).threshold == pytest.approx(0.3)
    asked = DetectorSettings(weights=str(weights), threshold=0.7)
    assert build_detector(asked).threshold == pytest.approx(0.7)


def test_the_description_names_what_ran(weights: Path) -> None:
    said = build_detector(DetectorSettings(weights=str(weights), device="cpu")).describe()
    assert said["weights"] == "tiny"
    assert len(said["weights_sha256"]) == 64
    assert (said["device"], said["engine"]) == ("cpu", "openvino")


def test_missing_weights_are_refused() -> None:
    with pytest.raises(WeightsError, match="no-such-network"):
        build_detector(DetectorSettings(weights="no-such-network"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_missing_gpu_is_one_line(weights: Path) -> None:
    with pytest.raises(StreamError, match="CUDA"):
        build_detector(DetectorSettings(weights=str(weights), device="cuda"))


def test_half_precision_is_refused_on_a_cpu(weights: Path) -> None:
    with pytest.raises(StreamError, match="fp16"):
        build_detector(DetectorSettings(weights=str(weights), device="cpu", precision="fp16"))


class TestRange:
    """16-bit scaling."""

    def scene(self, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return np.clip(rng.normal(8000, 200, (120, 160)), 0, 65535).astype(np.uint16)

    def test_8_bit_stays(self) -> None:
        assert RangeEstimator(RangeSettings()).gain_and_offset(frame(picture(0))) == (1.0, 0.0)

    def test_the_scene_fills_the_grey_levels(self) -> None:
        scene = self.scene(0)
        gain, offset = RangeEstimator(RangeSettings()).gain_and_offset(frame(scene))
        grey = scene * gain + offset
        assert np.percentile(grey, 1) == pytest.approx(16, abs=3)
        assert np.percentile(grey, 99) == pytest.approx(224, abs=3)

    def test_a_hot_object_does_not_pump_it(self) -> None:
        estimator = RangeEstimator(RangeSettings())
        before = estimator.gain_and_offset(frame(self.scene(0)))[0]
        for k in range(1, 31):
            scene = self.scene(k)
            scene[40:70, 40:80] = 30000
            after = estimator.gain_and_offset(frame(scene, k, pts=k / 30))[0]
        small = self.scene(99)
        small[40:45, 40:45] = 30000
        fresh = RangeEstimator(RangeSettings()).gain_and_offset(frame(small))[0]
        assert fresh == pytest.approx(before, rel=0.05)
        assert after > before / 8

    def test_noise_alone_stays_noise(self) -> None:
        flat = np.full((100, 100), 8000, np.uint16)
        gain, _ = RangeEstimator(RangeSettings(min_span=64)).gain_and_offset(frame(flat))
        assert gain == pytest.approx(208 / 64)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_cuda_agrees_with_the_cpu_with_batches_in_flight(precision: str) -> None:
    scene = Scene(SyntheticSettings(seconds=1, width=320, height=256, snr=8))
    images = [scene.render(2 * k).image for k in range(9)]

    def detector(device: str, **more: Any) -> NetworkDetector:
        return build_detector(
            DetectorSettings(weights="mpcnet-s-live", device=device, mode="full", **more)
        )

    with (
        closing(detector("cuda", precision=precision)) as cuda,
        closing(detector("cpu", engine="torch", precision="fp32")) as cpu,
    ):
        batches = [[frame(images[3 * k + j], 3 * k + j) for j in range(3)] for k in range(3)]
        tickets = [cuda.submit(batch) for batch in batches]
        found = 0
        for ticket, batch in zip(tickets, batches, strict=True):
            for got, want in zip(ticket.result(), cpu.submit(batch).result(), strict=True):
                sure = want.score > cpu.threshold + 0.05  # others may cross the threshold
                nearest = np.linalg.norm(want.xy[sure][:, None] - got.xy, axis=2).min(axis=1)
                assert (nearest <= 0.2).all()
                assert abs(len(got) - len(want)) <= 1
                found += int(sure.sum())
        assert found >= len(images)
