"""A thousand weights files that somebody may give: each loads whole, or is refused in one line."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.checkpoint import NetworkInfo, WeightsError, load_network, public_names, save_network
from model.mpcnet import MPCNet

INFO = NetworkInfo("fuzzed", 4, 100.5, 31.25, 96, 0.42, {"epochs": 3})
SHAPES = {key: value.shape for key, value in MPCNet(4).state_dict().items()}
Header = dict[str, Any]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file as we write it, of the smallest network there is."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "ours.safetensors"
    save_network(path, MPCNet(4).eval(), INFO)
    return path.read_bytes()


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Checkpoints as the public code writes them, zipped and as torch once did."""
    torch.manual_seed(1)
    state: dict[str, torch.Tensor] = {}
    for key, value in MPCNet(4).state_dict().items():
        names = public_names(key)
        parts = value.chunk(len(names)) if value.ndim else [value] * len(names)
        state |= {f"model.{name}": part.clone() for name, part in zip(names, parts, strict=True)}
    written = []
    for zipped in (True, False):
        file = io.BytesIO()
        torch.save({"state_dict": state}, file, _use_new_zipfile_serialization=zipped)
        written.append(file.getvalue())
    return written


def split(file: bytes) -> tuple[Header, bytes]:
    """A safetensors file's header and what follows it."""
    (length,) = struct.unpack("<Q", file[:8])
    return json.loads(file[8 : 8 + length]), file[8 + length :]


def joined(header: object, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensors_of(header: Header) -> list[str]:
    return sorted(key for key in header if key != "__metadata__")


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NUMBERS = st.integers(-(2**70), 2**70) | st.integers(-4, 400) | st.just(2**62)
DTYPES = ["F16", "F32", "F64", "BF16", "I8", "I64", "U8", "BOOL", "F8_E4M3", "F4", "X", ""]
FIELDS = sorted(vars(INFO))


def change_header(draw: st.DrawFn, file: bytes) -> bytes:
    """One thing about one tensor is another: its type, shape, place, name, or that it is there."""
    header, data = split(file)
    name = draw(st.sampled_from(tensors_of(header)))
    what = draw(st.sampled_from(["dtype", "shape", "data_offsets", "gone", "name", "twice", "any"]))
    if what == "dtype":
        header[name]["dtype"] = draw(st.sampled_from(DTYPES) | st.text(max_size=5))
    elif what == "shape":
        header[name]["shape"] = draw(st.lists(NUMBERS, max_size=5))
    elif what == "data_offsets":
        header[name]["data_offsets"] = draw(st.lists(NUMBERS, max_size=3))
    elif what == "gone":
        del header[name]
    elif what == "name":
        header[draw(st.text(max_size=20))] = header.pop(name)
    elif what == "twice":
        header[draw(st.text(max_size=20))] = dict(header[name])
    else:
        header[name] = draw(ANY)
    return joined(header, data)


def change_length(draw: st.DrawFn, file: bytes) -> bytes:
    """The header's length, the header's text or the file's end are wrong."""
    what = draw(st.sampled_from(["length", "text", "cut", "more"]))
    if what == "length":
        return struct.pack("<Q", draw(st.integers(0, 2**64 - 1) | st.integers(0, 400))) + file[8:]
    if what == "text":
        return joined(draw(st.binary(max_size=60) | ANY.map(repr).map(str.encode)), split(file)[1])
    if what == "cut":
        return file[: draw(st.integers(0, len(file) - 1))]
    return file + draw(st.binary(min_size=1, max_size=30))


def change_metadata(draw: st.DrawFn, file: bytes) -> bytes:
    """What travels with the weights is missing, no JSON, or says what cannot be."""
    header, data = split(file)
    what = draw(st.sampled_from(["field", "gone", "added", "info", "metadata"]))
    fields = json.loads(header["__metadata__"]["info"])
    if what == "metadata":
        header["__metadata__"] = draw(ANY | st.dictionaries(st.text(max_size=5), st.text()))
    elif what == "info":
        header["__metadata__"]["info"] = draw(st.text(max_size=20) | ANY.map(json.dumps))
    else:
        if what == "gone":
            del fields[draw(st.sampled_from(FIELDS))]
        else:
            key = draw(st.sampled_from(FIELDS) if what == "field" else st.text(max_size=8))
            fields[key] = draw(ANY | NUMBERS | st.sampled_from(["nan", "4", -1.0, 0, 8, 1e400]))
        header["__metadata__"]["info"] = json.dumps(fields)
    return joined(header, data)


def change_numbers(draw: st.DrawFn, file: bytes) -> bytes:
    """Some weights are NaN, infinite, or anything: 16 or 32 bits of it."""
    header, data = split(file)
    first, end = header[draw(st.sampled_from(tensors_of(header)))]["data_offsets"]
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = first + 4 * draw(st.integers(0, max(0, (end - first) // 4 - 1)))
        bits = draw(st.sampled_from([b"\x00\x7e\x00\x7e", b"\x00\x00\xc0\x7f", b"\x00\x00\x80\xff"])
                    | st.binary(min_size=4, max_size=4))  # fmt: skip
        changed[at : min(end, at + 4)] = bits[: min(end, at + 4) - at]
    return joined(header, bytes(changed))


def change_bytes(draw: st.DrawFn, file: bytes) -> bytes:
    """Bytes anywhere, most of them near the beginning, are others."""
    changed = bytearray(file)
    reach = draw(st.sampled_from([16, 300, 5000, len(file)]))
    for _ in range(draw(st.integers(1, 8))):
        changed[draw(st.integers(0, min(reach, len(file)) - 1))] = draw(st.integers(0, 255))
    return bytes(changed)


EXECUTED = Path(tempfile.gettempdir()) / f"executed-{os.getpid()}"


class Bomb:
    """A pickle that makes a file when it is executed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (EXECUTED,)


def another_file(draw: st.DrawFn, file: bytes) -> bytes:
    """Something that is no weights file at all: bytes, pickles, arrays, others' tensors."""
    what = draw(st.sampled_from(["bytes", "pickle", "checkpoint", "numpy", "tensors"]))
    value = draw(ANY)
    if what == "bytes":
        return draw(st.binary(max_size=200))
    if what == "pickle":
        return pickle.dumps(draw(st.sampled_from([value, print, MPCNet, Path(), Bomb(), 1j, ...])))
    buffer = io.BytesIO()
    if what == "checkpoint":
        state = draw(st.sampled_from([value, Bomb()]))
        torch.save(draw(st.sampled_from([state, {"state_dict": state}, [state]])), buffer)
    elif what == "numpy":
        np.savez(buffer, a=np.zeros(3))
    else:
        shape = draw(st.lists(st.integers(0, 5), max_size=4))
        name = draw(st.sampled_from(["encoder1.conv.weight", "a", ""]))
        info = {"info": json.dumps(vars(INFO))} if draw(st.booleans()) else None
        return safetensors.torch.save({name: torch.zeros(shape)}, info)
    return buffer.getvalue()


KINDS: dict[str, Callable[[st.DrawFn, bytes], bytes]] = {
    "header": change_header,
    "length": change_length,
    "metadata": change_metadata,
    "numbers": change_numbers,
    "bytes": change_bytes,
    "another file": another_file,
}


def check(path: Path) -> bool:
    """Whether the file loads; it does so whole, or is refused in one clear line."""
    try:
        network = load_network(path)
    except WeightsError as error:
        message = str(error)
        assert message.startswith(f"{path}: ")
        assert message.isprintable()
        assert len(message) < len(str(path)) + 700
        assert not EXECUTED.exists()
        return False
    NetworkInfo(**vars(network.info))  # what travels with it is sound
    assert not network.training
    state = network.state_dict()
    assert {key: value.shape for key, value in state.items()} == SHAPES
    assert all(bool(value.isfinite().all()) for value in state.values())
    return True


def fuzz(folder: Path, ours: bytes, public: list[bytes], cases: int) -> dict[str, int]:
    """Try so many files: how many were refused of each kind."""
    refused = dict.fromkeys(KINDS, 0)
    path = folder / "fuzzed.safetensors"

    @settings(max_examples=cases, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.data(), st.sampled_from(sorted(KINDS)))
    def one(data: st.DataObject, kind: str) -> None:
        original = ours
        if kind == "bytes":
            original = data.draw(st.sampled_from([ours, *public]))
        path.write_bytes(KINDS[kind](data.draw, original))
        refused[kind] += not check(path)

    one()
    return refused


def test_any_weights_file_loads_whole_or_is_refused(
    ours: bytes, public: list[bytes], tmp_path: Path
) -> None:
    refused = fuzz(tmp_path, ours, public, 200)
    assert sum(refused.values()) > 100, refused


@pytest.mark.slow
def test_a_thousand_weights_files_load_whole_or_are_refused(
    ours: bytes, public: list[bytes], tmp_path: Path
) -> None:
    refused = fuzz(tmp_path, ours, public, 1000)
    assert min(refused.values()) > 5, refused


@pytest.mark.parametrize("kept", ["ours", "public"])
def test_what_the_fuzzing_begins_with_loads(
    ours: bytes, public: list[bytes], tmp_path: Path, kept: str
) -> None:
    for content in [ours] if kept == "ours" else public:
        (tmp_path / "whole").write_bytes(content)
        assert check(tmp_path / "whole")
