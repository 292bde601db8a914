"""The tables' statistics, worked out by hand on small numbers."""

import json
import math
from dataclasses import replace

import pytest
from scipy.stats import t

from benchmarks.peers.comparison import (
    GOSPA,
    HOTA,
    SWITCHES,
    CellResult,
    against,
    by_property,
    by_seed,
    overall,
)
from benchmarks.peers.measures import Figures, merit
from benchmarks.peers.scenes import PeerCell
from benchmarks.peers.spaces import ROWS, Row
from benchmarks.peers.statistics import Mean, mean_of, paired, verdict
from benchmarks.peers.table import numbers, parts
from benchmarks.simulated_scenes import SceneSettings

BLANK = Figures(
    hota=0.5,
    gospa_px=2.0,
    idf1=0.5,
    tracked=90,
    labelled=100,
    switches=0,
    false_tracks=0,
    tracks=1,
    minutes=0.5,
    step_ms=1.0,
)
ROW_OF = {row.key: row for row in ROWS}


def figures(**values: float) -> Figures:
    return replace(BLANK, **values)  # type: ignore[arg-type]


def results() -> list[CellResult]:
    """Two cells, three seeds: SORT is better in the first by more every time, and equal in the
    second; norfair always misses."""
    easy = PeerCell("easy", SceneSettings(targets=1))
    hard = PeerCell("hard", SceneSettings(targets=20, jumps_per_minute=5))
    first = {
        "ours": [figures(hota=h, gospa_px=2, switches=1) for h in (0.5, 0.6, 0.7)],
        "sort": [figures(hota=h, gospa_px=1, switches=4) for h in (0.6, 0.71, 0.82)],
        "norfair": [figures(hota=0.1, gospa_px=5, false_tracks=2)] * 3,
    }
    second = {
        "ours": [figures(hota=h, switches=1) for h in (0.3, 0.2, 0.1)],
        "sort": [figures(hota=h, switches=4) for h in (0.3, 0.2, 0.1)],
        "norfair": [figures(hota=0.1, gospa_px=5)] * 3,
    }
    return [CellResult(easy, first), CellResult(hard, second)]


def rows() -> list[Row]:
    return [ROW_OF["ours"], ROW_OF["sort"], ROW_OF["norfair"]]


def test_the_mean_and_its_interval() -> None:
    # Deviation 1, so 4.303 / sqrt(3) on each side: Student's t of two degrees of freedom.
    mean = mean_of([1, 2, 3])
    assert mean.value == 2
    assert mean.low == pytest.approx(2 - 4.30265 / math.sqrt(3), abs=1e-5)
    assert mean.half_width == pytest.approx(2.48414, abs=1e-5)
    assert mean_of([7]) == Mean(7, None, None)
    assert mean_of([7]).half_width is None
    with pytest.raises(ValueError, match="no values"):
        mean_of([])


def test_what_scenes_differ_in_drops_out_of_paired_differences() -> None:
    difference = paired([10.1, 20.2, 30.3], [10, 20, 30])
    assert difference.value == pytest.approx(0.2)
    assert difference.half_width == pytest.approx(4.30265 * 0.1 / math.sqrt(3), abs=1e-5)
    with pytest.raises(ValueError):
        paired([1, 2], [1])


@pytest.mark.parametrize(
    ("low", "high", "more", "less"),
    [
        (0.1, 0.3, "better", "worse"),
        (-0.3, -0.1, "worse", "better"),
        (-0.1, 0.1, "", ""),
        (0.0, 0.0, "", ""),
        (None, None, "", ""),
    ],
)
def test_the_verdict(low: float | None, high: float | None, more: str, less: str) -> None:
    mean = Mean(0.0, low, high)
    assert verdict(mean, more_is_better=True) == more
    assert verdict(mean, more_is_better=False) == less


def test_merit() -> None:
    assert merit(figures(hota=0.8, gospa_px=1), 4.0) == pytest.approx((0.8 + 0.75) / 2)
    assert merit(figures(hota=0.0, gospa_px=4), 4.0) == 0
    assert merit(figures(hota=0.2, gospa_px=8), 4.0) == pytest.approx(-0.4)  # much is false
    assert merit(figures(hota=0.4), 0.0) == pytest.approx(0.2)


def test_cells_are_averaged_seed_by_seed() -> None:
    assert by_seed(results(), "ours", HOTA) == pytest.approx([0.4, 0.4, 0.4])
    said = overall(results(), "ours")
    assert said["hota"]["mean"] == pytest.approx(0.4)
    assert said["hota"]["high"] == pytest.approx(0.4)  # the seeds agree
    assert said["tracked_share"] == 0.9
    assert said["switches_in_all"] == 6
    assert said["minutes"] == 3
    norfair = overall(results(), "norfair")
    assert norfair["false_tracks_per_minute"] == 2
    # Six: Garwood's 2.202 to 13.06, over three minutes.
    assert norfair["false_tracks_per_minute_interval"] == pytest.approx((0.734, 4.353), abs=1e-3)


def test_ours_against_a_peer() -> None:
    entry = against(results(), "ours", "sort")
    # Seed by seed -0.10, -0.11, -0.12 in the first cell and 0 in the second.
    assert entry["hota"]["mean"] == pytest.approx(-0.055)
    reach = float(t.ppf(0.975, 2)) * 0.005 / math.sqrt(3)
    assert entry["hota"]["low"] == pytest.approx(-0.055 - reach)
    assert entry["hota"]["verdict"] == "worse"
    assert (entry["hota"]["cells_worse"], entry["hota"]["cells_better"]) == (1, 0)
    assert entry["gospa_px"]["mean"] == pytest.approx(0.5)
    assert entry["gospa_px"]["verdict"] == "worse"
    assert entry["switches"]["mean"] == -3
    assert entry["switches"]["verdict"] == "better"
    assert entry["switches"]["cells_better"] == 2
    norfair = against(results(), "ours", "norfair")
    assert norfair["gospa_px"]["cells_better"] == 2
    assert norfair["hota"]["cells_better"] == 1  # 0.2 +- 0.25 is not for certain more than 0.1


def test_properties_pick_their_cells() -> None:
    picked = {(n, v): [r.cell.name for r in some] for n, v, some in by_property(results())}
    assert picked["targets", 1] == ["easy"]
    assert picked["jumps", "yes"] == ["hard"]
    assert picked["fps", 30.0] == ["easy", "hard"]


def test_the_tables() -> None:
    made = results()
    thin = CellResult(replace(made[0].cell, every_other=True, name="thin"), made[0].figures)
    tables = {part.name: part for part in parts([*made, thin], rows())}
    text = tables["mean over cells"].markdown()
    assert "| SORT | 0.455 ± " in text
    assert "| ours, defaults | 0.400 ± 0.000 | 2.00 ± 0.00 |" in text
    assert "2.00 (0.73 to 4.35)" in text
    less = tables["differences on the same scenes"].markdown()
    assert (
        "| ours, defaults | SORT | -0.055 ± 0.012 | worse | 1 / 0 | +0.50 ± 0.00 | worse |" in less
    )
    by_cell = tables["HOTA by cell"].rows
    assert [row["cell"] for row in by_cell] == ["easy", "hard"]  # not the thin one
    assert [row["worse"] for row in by_cell] == ["SORT", ""]
    (switched, _) = tables["every other frame dropped: identity switches"].rows
    assert (switched["mine"], switched["theirs"]) == (3, 12)
    assert switched["verdict"] == "better"


def test_the_numbers_are_json_and_hold_every_scene() -> None:
    made = results()
    one_seed = [
        CellResult(r.cell, {key: each[:1] for key, each in r.figures.items()}) for r in made
    ]
    for some in (made, one_seed):
        everything = json.loads(json.dumps(numbers(some, rows()), allow_nan=False))
        assert len(everything["figures"][0]["trackers"]["sort"]) == len(some[0].figures["sort"])
    assert everything["cells"]["overall"]["sort"]["hota"]["low"] is None
    assert "every_other_dropped" not in everything
    assert "±" not in parts(one_seed, rows())[0].markdown()
    assert made[0].difference("ours", "sort", GOSPA).value == 1
    assert made[0].mean("ours", SWITCHES).value == 1
