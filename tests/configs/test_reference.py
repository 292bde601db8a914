"""The reference of settings: complete, readable, and the checked-in page up to date."""

from pathlib import Path

from configs.load import setting_keys
from configs.reference import render_reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def row_of(key: str) -> str:
    return next(line for line in render_reference().splitlines() if line.startswith(f"| `{key}`"))


def test_the_page_in_docs_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == render_reference(), (
        "write it again: python -m configs > docs/settings.md"
    )


def test_every_key_has_its_row_with_a_description() -> None:
    for key in setting_keys():
        cells = row_of(key).replace("\\|", "").split("|")[1:-1]
        assert len(cells) == 4, key
        assert all(cell.strip() for cell in cells), f"{key} lacks a description"


def test_a_row_states_what_is_allowed_and_the_default() -> None:
    assert "number > 0, < 1 or null | `null`" in row_of("detector.threshold")
    assert "`tcp`, `udp`, `udp_multicast`, `http` | `tcp`" in row_of("source.rtsp.transport")
    assert "integer >= 0, <= 51 | `23`" in row_of("output.record.crf")
    assert "true or false | `true`" in row_of("output.record.enabled")
