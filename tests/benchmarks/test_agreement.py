"""What engines see is held against the reference, pixel by pixel and detection by detection."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import agreement
from benchmarks.agreement import Agreement
from model.training.data.published import names_in

VALIDATION = Path(__file__).parents[2] / "model" / "training" / "splits" / "NUAA-SIRST.val.txt"


def test_counts_worked_out_by_hand() -> None:
    reference = np.zeros((4, 6), bool)
    reference[1, 1:5] = True
    mask = np.zeros((4, 6), bool)
    mask[1, 2:6] = True
    counted = Agreement()
    counted.add(
        mask, reference, np.array([[2.0, 1.1], [5.0, 3.0]]), np.array([[2.0, 1.0], [4.0, 3.0]])
    )
    counted.add(np.zeros((2, 2), bool), np.ones((2, 2), bool), np.empty((0, 2)), np.array([[0, 0]]))
    assert counted.row("this") == {
        "engine": "this",
        "mask_iou": 3 / (5 + 4),
        "detections": 3,
        "same": 1,
        "extra": 1,
        "farthest_px": pytest.approx(1.0),
    }


def test_of_nothing_there_is_no_figure() -> None:
    empty = Agreement().row("this")
    assert (empty["mask_iou"], empty["farthest_px"], empty["detections"]) == (None, None, 0)


def test_default_engines_agree_on_validation_pictures(
    shared_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tmp_path / "some.txt"
    names.write_text("\n".join(names_in(VALIDATION)[::15]))
    data, figures = shared_dir / "data" / "NUAA-SIRST", tmp_path / "figures.json"
    given = ["--data", str(data), "--split", str(names), "--json", str(figures)]
    assert agreement.main(given) == 0
    rows = {row["engine"]: row for row in json.loads(figures.read_text())["rows"]}
    row = rows["openvino fp32 (cpu)"]
    assert row["mask_iou"] >= 0.99
    assert row["same"] == row["detections"] > 0
    assert row["extra"] == 0
    assert "openvino fp32 (cpu)" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_there_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        agreement.main(["--data", str(tmp_path), "--device", "cuda"])
    assert ended.value.code == 2
    assert "has no CUDA" in capsys.readouterr().err


def test_data_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert agreement.main(["--data", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
