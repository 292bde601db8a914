"""Weights files: a round trip loses nothing, and whatever is wrong is one WeightsError."""

import io
import json
import pickle
import random
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from model import checkpoint
from model.checkpoint import (
    NetworkInfo,
    WeightsError,
    file_sha256,
    load_network,
    public_names,
    resolve_weights,
    save_network,
)
from model.deploy import fold
from model.mpcnet import MPCNet

INFO = NetworkInfo("test", 8, 100.5, 31.25, 96, 0.42, {"epochs": 3, "data": ["a", "b"]})


@pytest.fixture(scope="module")
def network() -> MPCNet:
    torch.manual_seed(1)
    return MPCNet(8).eval()


@pytest.fixture(scope="module")
def saved(network: MPCNet, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save_network(path, network, INFO)
    return path.read_bytes()


def to_public(network: MPCNet, prefix: str = "model.") -> dict[str, Tensor]:
    """Return the network's state_dict under the public code's names."""
    public: dict[str, Tensor] = {}
    for key, value in network.state_dict().items():
        names = public_names(key)
        parts = value.chunk(len(names)) if value.ndim else [value] * len(names)
        public |= {prefix + n: part.clone() for n, part in zip(names, parts, strict=True)}
    return public


def refusal(path: Path) -> str:
    """Load, expect one clear line of refusal, return it."""
    with pytest.raises(WeightsError) as caught:
        load_network(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < len(str(path)) + 700
    return message


def write_ours(path: Path, state: dict[str, Tensor], info: object) -> Path:
    metadata = {"info": info if isinstance(info, str) else json.dumps(info)}
    safetensors.torch.save_file(state, path, metadata)
    return path


# ---------------------------------------------------------------- what must work


@pytest.mark.parametrize("half", [True, False])
def test_round_trip(network: MPCNet, tmp_path: Path, half: bool) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"an older file")
    save_network(path, network, INFO, half=half)
    loaded = load_network(path)
    assert loaded.info == INFO
    assert loaded.info.attention_grid == 12
    assert not loaded.training
    assert all(p.dtype == torch.float32 and p.requires_grad for p in loaded.parameters())
    assert list(tmp_path.iterdir()) == [path]  # no temporary file is left
    x = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        error = (loaded(x) - network(x)).abs().max()
    assert error < (5e-3 if half else 1e-7)
    for key, value in network.state_dict().items():
        if value.ndim == 1 or not half:  # biases, statistics and gains are never halved
            assert torch.equal(loaded.state_dict()[key], value), key


def test_a_loaded_network_trains_and_saves_again(saved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(saved)
    loaded = load_network(path)
    loaded.train()(torch.randn(2, 1, 16, 16), attention_grid=2).sum().backward()
    save_network(tmp_path / "again.safetensors", loaded, loaded.info)
    load_network(tmp_path / "again.safetensors")


def test_loading_draws_no_random_numbers(saved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(saved)
    before = torch.get_rng_state()
    load_network(path)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("prefix", ["model.", "", "module.", "module.model."])
@pytest.mark.parametrize("bare", [True, False])
def test_public_checkpoints(network: MPCNet, tmp_path: Path, prefix: str, bare: bool) -> None:
    path = tmp_path / "NUAA.pth.tar"
    state: dict[str, Any] = to_public(network, prefix)
    torch.save(state if bare else {"epoch": 1, "state_dict": state, "total_loss": [0.5]}, path)
    loaded = load_network(path)
    assert loaded.info.name == "NUAA"
    assert loaded.info.width == 8
    assert loaded.info.mean == checkpoint.NUAA_SIRST_MEAN
    assert loaded.info.std == checkpoint.NUAA_SIRST_STD
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


def test_every_public_name_is_used_once(shared_dir: Path) -> None:
    lines = (shared_dir / "golden" / "state_dict_keys.txt").read_text().splitlines()
    with torch.device("meta"):
        keys = MPCNet(32).state_dict().keys()
    names = [name for key in keys for name in public_names(key)]
    assert len(names) == len(set(names)) == 665
    assert {f"model.{name}" for name in names} == {line.split()[0] for line in lines}


def test_file_sha256(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert file_sha256(tmp_path / "empty").startswith("e3b0c44298fc1c149afbf4c8996fb924")


def test_resolve_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checkpoint, "WEIGHTS_DIR", tmp_path)
    for name in ("one", "two"):
        (tmp_path / f"{name}.safetensors").touch()
    assert resolve_weights("one") == tmp_path / "one.safetensors"
    assert resolve_weights(str(tmp_path / "two.safetensors")) == tmp_path / "two.safetensors"
    for unknown in ("three", "", "../one", str(tmp_path), "x" * 5000, "nul\0"):
        with pytest.raises(WeightsError, match="names there are: one, two"):
            resolve_weights(unknown)


# ---------------------------------------------------------------- what must be refused


def test_saving_refuses_what_loading_would(network: MPCNet, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    with pytest.raises(WeightsError, match="another network"):
        save_network(path, MPCNet(12), INFO)
    with pytest.raises(WeightsError, match="another network"):
        save_network(path, fold(network), INFO)
    broken = MPCNet(8)
    nn.init.constant_(broken.head1.conv.weight, 1e6)  # finite, but not in half precision
    with pytest.raises(WeightsError, match=re.escape("head1.conv.weight")):
        save_network(path, broken, INFO)
    save_network(path, broken, INFO, half=False)


@pytest.mark.parametrize(
    "change",
    [
        {"width": 7},
        {"width": 4096},
        {"width": 8.0},
        {"width": True},
        {"mean": float("nan")},
        {"std": 0},
        {"std": "3"},
        {"threshold": 1.0},
        {"threshold": -0.1},
        {"picture_size": 0},
        {"name": 3},
        {"recipe": [1]},
    ],
)
def test_info_is_checked(change: dict[str, Any]) -> None:
    fields: dict[str, Any] = {**vars(INFO), **change}
    with pytest.raises(WeightsError, match=next(iter(change))):
        NetworkInfo(**fields)


@pytest.mark.parametrize(
    "info",
    ["", "{", "[]", "7", "null", "{}", "[" * 100_000, '{"width": 1e999}', '{"surplus": 1}'],
)
def test_bad_metadata(network: MPCNet, tmp_path: Path, info: str) -> None:
    path = write_ours(tmp_path / "a.safetensors", network.state_dict(), info)
    assert "bad metadata" in refusal(path)


@pytest.mark.parametrize("change", [{"width": 10**9}, {"mean": 10**400}, {"std": float("inf")}])
def test_absurd_metadata(network: MPCNet, tmp_path: Path, change: dict[str, Any]) -> None:
    fields = {**vars(INFO), **change}
    refusal(write_ours(tmp_path / "a.safetensors", network.state_dict(), fields))


def test_safetensors_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file({"conv.weight": torch.zeros(3)}, path)
    assert "without the metadata" in refusal(path)
    message = refusal(write_ours(path, {"conv.weight": torch.zeros(3)}, vars(INFO)))
    assert "conv.weight" in message
    assert "another network" in message


@pytest.mark.parametrize("where", ["tensor", "field"])
def test_names_in_a_file_break_no_line_and_steer_no_terminal(
    network: MPCNet, tmp_path: Path, where: str
) -> None:
    odd, state, fields = "odd\n\x1b[2J", network.state_dict(), dict(vars(INFO))
    if where == "tensor":
        state[odd] = torch.zeros(1)
    else:
        fields[odd] = 1
    assert r"odd\n\x1b[2J" in refusal(write_ours(tmp_path / "a.safetensors", state, fields))


@pytest.mark.parametrize("field", ["name", "width", "mean", "std", "picture_size", "threshold"])
def test_missing_metadata_is_named(network: MPCNet, tmp_path: Path, field: str) -> None:
    fields = {key: value for key, value in vars(INFO).items() if key != field}
    message = refusal(write_ours(tmp_path / "a.safetensors", network.state_dict(), fields))
    assert message.endswith(f"bad metadata: {field} missing")


def test_weights_of_another_width(network: MPCNet, tmp_path: Path) -> None:
    fields = {**vars(INFO), "width": 16}
    message = refusal(write_ours(tmp_path / "a.safetensors", network.state_dict(), fields))
    assert "width 16: encoder1.conv.weight is (8, 1, 3, 3), expected (16, 1, 3, 3)" in message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("encoder1.bn.bias", float("nan"), "not finite"),
        ("encoder1.bn.bias", float("inf"), "not finite"),
        ("encoder1.bn.running_var", -1.0, "negative variance"),
    ],
)
def test_unsound_numbers(
    network: MPCNet, tmp_path: Path, key: str, value: float, message: str
) -> None:
    state = {k: v.clone() for k, v in network.state_dict().items()}
    state[key][0] = value
    assert message in refusal(write_ours(tmp_path / "a.safetensors", state, vars(INFO)))


def test_wrong_kinds_of_number(network: MPCNet, tmp_path: Path) -> None:
    state = network.state_dict()
    state["encoder1.bn.bias"] = torch.zeros(8, dtype=torch.int32)
    assert "int32" in refusal(write_ours(tmp_path / "a.safetensors", state, vars(INFO)))


def test_missing_empty_and_not_a_file(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "absent.safetensors")
    assert "not a file" in refusal(tmp_path)
    refusal(tmp_path / ("x" * 5000))
    (tmp_path / "empty").touch()
    assert "0 bytes" in refusal(tmp_path / "empty")


def test_too_large(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(checkpoint.MAX_FILE_BYTES + 1)
    assert "more than" in refusal(path)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MAX_FILE_BYTES", 1 << 20)
    path = tmp_path / "bomb.pth.tar"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(1 << 21))
    assert "unpacks to" in refusal(path)


def test_tensors_that_claim_too_much(network: MPCNet, tmp_path: Path) -> None:
    state = to_public(network)
    state["model.GSFM_1.LOW_K.conv.weight"] = torch.zeros(1).expand(1 << 20, 1 << 20)
    path = tmp_path / "vast.pth.tar"
    torch.save(state, path)
    assert path.stat().st_size < 10_000_000
    assert "claim more memory" in refusal(path)


class Bomb:
    """A pickle that makes a file when it is executed."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.victim,)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_not_executed(network: MPCNet, tmp_path: Path, zipped: bool) -> None:
    victim = tmp_path / "executed"
    content = {"state_dict": to_public(network), "epoch": Bomb(victim)}
    torch.save(content, tmp_path / "a.pth.tar", _use_new_zipfile_serialization=zipped)
    assert "refused" in refusal(tmp_path / "a.pth.tar")
    assert not victim.exists()

    (tmp_path / "b.pth.tar").write_bytes(pickle.dumps(Bomb(victim)))
    refusal(tmp_path / "b.pth.tar")
    assert not victim.exists()
    pickle.loads(pickle.dumps(Bomb(victim)))
    assert victim.exists()  # so the bomb was live


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list"),
        ({}, "another network"),
        ({"state_dict": {}}, "another network"),
        ({"state_dict": {"a": 1}}, "'a' holds a int"),
        ({1: torch.zeros(1)}, "'1' holds a Tensor"),
        ({"fc.weight": torch.zeros(2, 2)}, "fc.weight"),
        ({"Backbone_1.conv.weight": torch.zeros(8)}, "another network"),
        ({"Backbone_1.conv.weight": torch.zeros(8, 1, 3, 3)}, "names differ"),
        ({"Backbone_1.conv.weight": torch.zeros(6, 1, 3, 3)}, "width"),
    ],
)
def test_checkpoints_of_something_else(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "a.pth.tar"
    torch.save(content, path)
    assert message in refusal(path)


def test_odd_tensors_in_a_public_checkpoint(network: MPCNet, tmp_path: Path) -> None:
    path = tmp_path / "a.pth.tar"
    key = "model.Backbone_1.bn.bias"
    for odd in (
        torch.zeros(8).to_sparse(),
        torch.zeros(8, dtype=torch.complex64),
        torch.zeros(8, device="meta"),
        torch.full((8,), 1e300, dtype=torch.float64),
        torch.zeros(8, dtype=torch.int64),
        torch.zeros(3),
    ):
        torch.save({**to_public(network), key: odd}, path)
        refusal(path)


def test_damaged_files_always_end_in_a_weights_error(
    network: MPCNet, saved: bytes, tmp_path: Path
) -> None:
    """Cut, flip and shuffle both kinds of file; loading succeeds or raises WeightsError."""
    buffer, legacy = io.BytesIO(), io.BytesIO()
    torch.save({"state_dict": to_public(network)}, buffer)
    torch.save(to_public(network), legacy, _use_new_zipfile_serialization=False)
    chance = random.Random(0)
    path = tmp_path / "damaged"
    for original in (saved, buffer.getvalue(), legacy.getvalue()):
        for cut in (1, 8, 9, 50, 5000, len(original) // 2, len(original) - 1):
            path.write_bytes(original[:cut])
            refusal(path)
        for _ in range(12):
            damaged = bytearray(original)
            reach = chance.choice((64, 4096, len(damaged)))
            for _ in range(chance.choice((1, 5, 200))):
                damaged[chance.randrange(min(reach, len(damaged)))] = chance.randrange(256)
            path.write_bytes(damaged)
            try:
                load_network(path)
            except WeightsError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\x80" * 100,
        b"PK\x03\x04" + bytes(100),
        bytes(range(256)),
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 1 << 60) + b"{}",
        struct.pack("<Q", 60) + b'{"a":{"dtype":"F32","shape":[9999999999],"data_offsets":[0,4]}}',
        b"\x80\x04" + b"(" * 5000,
        b"\x80\x02]" + b"\x8a\xffl" * 40,
    ],
)
def test_garbage(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(content)
    refusal(path)
