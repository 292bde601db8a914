"""``python -m model.evaluate`` from end to end, with a tiny network on a tiny set."""

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from model import evaluate
from model.checkpoint import NetworkInfo, load_network, save_network
from model.deploy import fold
from model.mpcnet import MPCNet
from model.preprocess import normalise
from model.training import pictures
from model.training.metrics import count, count_reference

INFO = NetworkInfo("tiny", 4, mean=80.0, std=30.0, picture_size=64, threshold=0.6)
LOAD = functools.cache(load_network)
SHAPES = {"one": (40, 50), "two": (64, 32), "three": (33, 70)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the set TINY and the weights tiny.safetensors."""
    made = tmp_path_factory.mktemp("evaluate")
    rng = np.random.default_rng(0)
    for kind in ("image", "mask"):
        (made / "TINY" / kind).mkdir(parents=True)
    for number, (name, shape) in enumerate(SHAPES.items()):
        image = rng.integers(60, 100, shape).astype(np.uint8)
        mask = np.zeros(shape, np.uint8)
        for row in range(number):  # none in the first
            image[10 * row + 5 : 10 * row + 8, 20:23] = 240
            mask[10 * row + 5 : 10 * row + 8, 20:23] = 255
        cv2.imwrite(str(made / "TINY" / "image" / f"{name}.png"), image)
        cv2.imwrite(str(made / "TINY" / "mask" / f"{name}.png"), mask)
    (made / "TINY" / "test_TINY.txt").write_text("\n".join(SHAPES))

    save_network(made / "tiny.safetensors", responsive_network(), INFO)
    return made


def responsive_network() -> MPCNet:
    """Untrained, but with statistics of its own, so that pixels get different probabilities."""
    torch.manual_seed(2)
    network = MPCNet(4).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    for head in (network.head1, network.head2, network.head3):
        torch.nn.init.zeros_(head.activation.bn.bias)
    with torch.inference_mode():
        network(torch.randn(2, 1, 64, 96), attention_grid=8)
    return network.eval()


@pytest.fixture(autouse=True)
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building a network takes longer than all else here."""
    monkeypatch.setattr(evaluate, "load_network", LOAD)


def arguments(place: Path, output: Path, *more: str) -> list[str]:
    return [
        *("--data", str(place / "TINY"), "--split", "test", "--engine", "torch"),
        *("--weights", str(place / "tiny.safetensors"), "--json", str(output / "r.json"), *more),
    ]


def report_of(place: Path, output: Path, *more: str) -> dict[str, Any]:
    assert evaluate.main(arguments(place, output, *more)) == 0
    report: dict[str, Any] = json.loads((output / "r.json").read_text())
    return report


@pytest.fixture(scope="module")
def report(place: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a run without further options."""
    return report_of(place, tmp_path_factory.mktemp("report"))


@torch.inference_mode()
def probability_by_hand(place: Path, name: str) -> np.ndarray:
    network = fold(LOAD(place / "tiny.safetensors"))
    image = cv2.imread(str(place / "TINY" / "image" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
    height, width = image.shape
    x = normalise(torch.from_numpy(image)[None], torch.ones(1), torch.zeros(1), network.info)
    assert x.shape[-2] % 32 == x.shape[-1] % 32 == 0
    y = network(x, attention_grid=network.info.attention_grid)
    return np.asarray(y[0, 0, :height, :width].numpy())


def test_the_figures_are_those_of_the_network_on_whole_pictures(
    place: Path, report: dict[str, Any]
) -> None:
    drawn = {name: probability_by_hand(place, name) for name in SHAPES}
    truth = {
        name: cv2.imread(str(place / "TINY" / "mask" / f"{name}.png"), 0) > 127 for name in SHAPES
    }
    for key, threshold in (("at_threshold", 0.5), ("at_weights_threshold", 0.6)):
        parts = [count(drawn[name] > threshold, truth[name]) for name in SHAPES]
        total = parts[0] + parts[1] + parts[2]
        at = report[key]
        assert at["threshold"] == threshold
        for name in ("iou", "niou", "f1", "precision", "recall", "pd", "fa"):
            assert at[name] == pytest.approx(getattr(total, name), abs=2e-3), name
        assert at["counts"]["pictures"] == 3
        assert at["counts"]["pixels"] == 40 * 50 + 64 * 32 + 33 * 70
        assert at["counts"]["targets"] == sum(s["targets"] for s in at["pd_by_size"]) == 3
    assert report["at_threshold"]["counts"]["true_positives"] > 0
    counts = [count_reference(drawn[name] > 0.5, truth[name]) for name in SHAPES]
    false = sum(each.false_pixels for each in counts)
    assert report["at_threshold"]["counts"]["reference"]["false_pixels"] == pytest.approx(
        false, abs=9
    )


def test_what_the_report_holds(place: Path, report: dict[str, Any]) -> None:
    asked = report["at_threshold"]
    for name in ("iou", "niou", "f1", "precision", "recall", "pd", "fa", "fa_reference"):
        assert report[name] == asked[name]
    assert (report["weights"], report["data"], report["split"]) == ("tiny", "TINY", "test")
    assert (report["engine"], report["number_format"]) == ("torch-cpu", "fp32")
    assert (report["noise"], report["left_out"]) == (None, [])
    assert len(report["weights_sha256"]) == 64
    counts = asked["counts"]
    assert report["fa"] == counts["false_pixels"] / counts["pixels"]
    assert report["fa_reference"] == counts["reference"]["false_pixels"] / counts["pixels"]
    curves = report["curves"]
    assert curves["thresholds"] == sorted(curves["thresholds"])
    assert {0.5, 0.6} <= set(curves["thresholds"])
    assert {len(curve) for curve in curves.values()} == {len(curves["thresholds"])}
    assert curves["recall"] == sorted(curves["recall"], reverse=True)
    assert all(0 <= report["areas"][name] <= 1 for name in ("pr", "roc", "pd_fa"))
    assert str(place) not in json.dumps(report)


def test_fa_as_the_public_code_is_of_one_half_whatever_is_asked(
    place: Path, tmp_path: Path, report: dict[str, Any]
) -> None:
    other = report_of(place, tmp_path, "--threshold", "0.7")
    assert other["at_threshold"]["threshold"] == 0.7
    assert other["fa_reference"] == report["fa_reference"] > 0
    assert other["iou"] != report["iou"]


def test_the_pictures_and_the_table(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "a" / "b"
    more = [f"--markdown={made}/r.md", f"--pr={made}/pr.png", f"--panels={made}/panels.png"]
    report = report_of(place, tmp_path, *more)
    table = (made / "r.md").read_text()
    assert capsys.readouterr().out == table
    counts = report["at_threshold"]["counts"]
    assert f"| {counts['detected']} of 3 targets |" in table
    assert f"{1e6 * report['fa']:.2f} | {counts['false_pixels']} of {counts['pixels']} px" in table
    assert "at 0.5 | counted | at 0.6 | counted" in table
    page = cv2.imread(str(made / "panels.png"))
    heights = [round(300 * height / max(height, width)) for height, width in SHAPES.values()]
    assert page.shape == (22 * 4 + sum(heights), 4 * 300 + 12, 3)
    assert cv2.imread(str(made / "pr.png")).std() > 10


def test_the_panels_say_what_was_found_missed_and_false() -> None:
    truth = np.zeros((300, 200), np.bool_)
    truth[50:60, 50:60] = truth[150:160, 50:60] = True
    predicted = np.zeros_like(truth)
    predicted[50:60, 51:61] = predicted[250:260, 150:160] = True
    tile = pictures._outcome(np.full(truth.shape, 100, np.uint8), predicted, truth)
    colours = [tuple(tile[y, x].tolist()) for y, x in ((55, 55), (155, 55), (255, 155), (120, 120))]
    assert colours == [pictures._HIT, pictures._MISS, pictures._FALSE, (50, 50, 50)]


def test_noise_is_seeded_and_changes_what_is_seen(
    place: Path, tmp_path: Path, report: dict[str, Any]
) -> None:
    noisy = [report_of(place, tmp_path, "--noise", "gaussian:10") for _ in range(2)]
    assert noisy[0] == noisy[1]
    assert noisy[0]["noise"] == "gaussian:10"
    assert noisy[0]["curves"] != report["curves"]


def test_a_limit(place: Path, tmp_path: Path) -> None:
    report = report_of(place, tmp_path, "--limit", "1")
    assert report["at_threshold"]["counts"]["pictures"] == 1
    assert report["pd"] is None  # no target in it: no rate is made up


def test_faulty_pictures_stop_it_or_are_left_out(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.txt"
    own.write_text("one\ntwo\nnowhere\n")
    given = arguments(place, tmp_path, "--split", str(own))
    assert evaluate.main(given) == 1
    error = capsys.readouterr().err
    assert error.startswith("model.evaluate: ")
    assert error.endswith("TINY: nowhere has no image and no mask\n")
    assert not (tmp_path / "r.json").exists()
    report = report_of(place, tmp_path, "--split", str(own), "--skip-bad")
    assert report["left_out"] == ["nowhere has no image and no mask"]
    assert report["split"] == "own.txt"
    assert report["at_threshold"]["counts"]["pictures"] == 2


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--weights", "nobody", "no weights named"),
        ("--data", "nowhere", "no such folder"),
        ("--split", "val", "no list val_TINY.txt"),
        ("--json", "/dev/null/r.json", "/dev/null"),
    ],
)
def test_errors_are_a_line(
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    option: str,
    value: str,
    says: str,
) -> None:
    assert evaluate.main(arguments(place, tmp_path, option, value)) == 1
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_damaged_weights(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"nothing of use")
    weights = str(tmp_path / "w.safetensors")
    assert evaluate.main(arguments(place, tmp_path, "--weights", weights)) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(arguments(place, tmp_path, "--device", "cuda")) == 1
    assert "CUDA" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [
        ("--threshold", "1"),
        ("--threshold", "high"),
        ("--noise", "fog:1"),
        ("--noise", "gaussian"),
        ("--limit", "0"),
        ("--device", "tpu"),
        ("--device", "cuda", "--engine", "openvino"),
    ],
)
def test_wrong_usage(place: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        evaluate.main(arguments(place, tmp_path, *more))
    assert caught.value.code == 2


@pytest.mark.slow
def test_openvino_gives_the_same_figures(
    place: Path, tmp_path: Path, report: dict[str, Any]
) -> None:
    pytest.importorskip("openvino")
    theirs = report_of(place, tmp_path, "--engine", "openvino")
    assert theirs["engine"] == "openvino"
    for name in ("iou", "niou", "precision", "recall"):
        assert theirs[name] == pytest.approx(report[name], abs=2e-3)


@pytest.mark.slow  # torch anew
def test_no_video_library_is_loaded() -> None:
    code = "import sys, model.evaluate; sys.exit('av' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)
