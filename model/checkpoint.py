"""Weights on disk: ours (safetensors with a `NetworkInfo` inside) and the public code's `.pth.tar`.

A weights file comes from anywhere, so nothing in it is trusted: no pickled code runs, sizes are
checked before memory is taken, and whatever is wrong ends in one `WeightsError`.
"""

import hashlib
import json
import math
import os
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from configs.load import printable
from model.mpcnet import MPCNet, attention_grid_of

WEIGHTS_DIR = Path(__file__).parent / "weights"

MAX_WIDTH = 128
MAX_FILE_BYTES = 1 << 30

NUAA_SIRST_MEAN = 101.06385040283203
NUAA_SIRST_STD = 34.619606018066406


class WeightsError(ValueError):
    """A weights file is missing, damaged, unsafe, or of another network."""


@dataclass(frozen=True)
class NetworkInfo:
    """What travels inside the weights and is used wherever those weights are.

    Raises:
        WeightsError: a field has a value that no network can have.
    """

    name: str
    width: int
    """Channels at full resolution, as in `MPCNet(width)`."""
    mean: float
    """Grey level (8-bit scale, 0..255) that is subtracted from a picture."""
    std: float
    """Grey levels (8-bit scale) that a picture is then divided by."""
    picture_size: int
    """Side in pixels of the square pictures trained at; attention runs on an eighth of it."""
    threshold: float
    """Probability from which on a pixel counts as target."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """How the weights came to be: free-form, anything JSON can hold."""

    def __post_init__(self) -> None:
        """Check every field once."""
        for name in ("width", "picture_size"):
            if type(getattr(self, name)) is not int:
                raise WeightsError(f"{name} must be an integer, not {getattr(self, name)!r}")
        for name in ("mean", "std", "threshold"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not math.isfinite(value):
                raise WeightsError(f"{name} must be a finite number, not {value!r}")
        if not isinstance(self.name, str) or not isinstance(self.recipe, Mapping):
            raise WeightsError("name must be a string and recipe a mapping")
        if not 4 <= self.width <= MAX_WIDTH or self.width % 4:
            raise WeightsError(f"width must be a multiple of 4 up to {MAX_WIDTH}, not {self.width}")
        if not 8 <= self.picture_size <= 1 << 14:
            raise WeightsError(f"picture_size must be 8 to 16384 px, not {self.picture_size}")
        if self.std <= 0:
            raise WeightsError(f"std must be above 0, not {self.std}")
        if not 0 < self.threshold < 1:
            raise WeightsError(f"threshold must lie between 0 and 1, not {self.threshold}")

    @property
    def attention_grid(self) -> int:
        """Side of the attention grid at the picture size trained at."""
        return attention_grid_of(self.picture_size)


class LoadedNetwork(MPCNet):
    """An `MPCNet` that carries the `NetworkInfo` of its weights."""

    def __init__(self, info: NetworkInfo) -> None:
        """Build the network that info describes."""
        super().__init__(info.width)
        self.info = info


# ---------------------------------------------------------------- finding, saving, loading


def resolve_weights(name_or_path: str | Path) -> Path:
    """Return the file behind a name in `model/weights/` ("mpcnet-s-live") or a path.

    Raises:
        WeightsError: there is neither; the message lists the names there are.
    """
    with suppress(OSError):  # a name too long for the file system
        packaged = WEIGHTS_DIR / f"{name_or_path}.safetensors"
        if Path(name_or_path).name == str(name_or_path) and packaged.is_file():
            return packaged
        if Path(name_or_path).is_file():
            return Path(name_or_path)
    names = ", ".join(sorted(p.stem for p in WEIGHTS_DIR.glob("*.safetensors"))) or "none"
    raise WeightsError(f"no weights named or at {str(name_or_path)!r}; names there are: {names}")


def file_sha256(path: str | Path) -> str:
    """Return the file's SHA-256 as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_network(
    path: str | Path, network: MPCNet, info: NetworkInfo, *, half: bool = True
) -> None:
    """Write the weights and info to a safetensors file, all of it or nothing.

    Args:
        path: the file; one that exists is replaced in one step.
        network: the unfolded network.
        info: what shall travel with it; its recipe must be JSON.
        half: store the convolution kernels in half precision. What is small and sensitive (biases,
            BN's weights and statistics) stays in single precision.

    Raises:
        WeightsError: the network is folded, of another width, or holds numbers that are not finite.
    """
    path = Path(path)
    _check_state(network.state_dict(), info.width)
    state = {
        key: value.half() if half and value.ndim > 1 else value
        for key, value in network.state_dict().items()
    }
    state = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    _check_state(state, info.width)  # half precision may have overflowed
    metadata = {"network": "mpcnet", "info": json.dumps(asdict(info), allow_nan=False)}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(safetensors.torch.save(state, metadata))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_network(path: str | Path) -> LoadedNetwork:
    """Return the network of a weights file, in eval mode, on the CPU, in single precision.

    Args:
        path: a safetensors file of `save_network`, or a `.pth.tar` (or bare state_dict) of the
            public code. The latter says nothing of its data: its info then holds the file's name,
            the mean and std of NUAA-SIRST, picture size 256 and threshold 0.5.

    Raises:
        WeightsError: in one line, why these cannot be the weights of an MPCNet.
    """
    path = Path(path)
    try:
        info, state = _read_ours(path) if _is_safetensors(path) else _read_public(path)
        _check_state(state, info.width)
        with torch.device("meta"):  # neither time nor random numbers are spent on weights to drop
            network = LoadedNetwork(info)
        network.load_state_dict({key: _own(value) for key, value in state.items()}, assign=True)
    except WeightsError as error:
        raise WeightsError(f"{path}: {printable(str(error))}") from None
    except Exception as error:  # a hostile file finds errors of every kind in the parsers below us
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        raise WeightsError(
            f"{path}: not a readable weights file ({type(error).__name__}: {printable(reason)})"
        ) from error
    return network.eval()


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor.long()


def _own(tensor: Tensor) -> Tensor:
    """Return a copy in plain contiguous memory, whatever strides the file asked for."""
    return _single(tensor).clone(memory_format=torch.contiguous_format)


# ---------------------------------------------------------------- what a file must hold


def _check_state(state: Mapping[str, Tensor], width: int) -> None:
    """Raise WeightsError unless state is that of an MPCNet of this width, with sound numbers."""
    with torch.device("meta"):
        expected = MPCNet(width).state_dict()
    found = {key: tuple(value.shape) for key, value in state.items()}
    wanted = {key: tuple(value.shape) for key, value in expected.items()}
    wrong = [key for key in wanted | found if wanted.get(key) != found.get(key)]
    if wrong:
        first = ", ".join(
            f"{key} is {found.get(key, 'absent')}, expected {wanted.get(key, 'absent')}"
            for key in wrong[:3]
        )
        raise WeightsError(
            f"weights of another network: {len(wrong)} tensors differ from the {len(wanted)} of "
            f"MPCNet at width {width}: {first}"
        )
    for key, value in state.items():
        if value.layout is not torch.strided or value.is_quantized or value.is_complex():
            raise WeightsError(f"{key} is no plain tensor of real numbers")
        if value.is_floating_point() != expected[key].is_floating_point():
            raise WeightsError(f"{key} is {value.dtype}, expected {expected[key].dtype}")
        if not bool(_single(value).isfinite().all()):
            raise WeightsError(f"{key} holds numbers that are not finite")
        if key.endswith("running_var") and bool((value < 0).any()):
            raise WeightsError(f"{key} holds a negative variance")


def _is_safetensors(path: Path) -> bool:
    """Tell the two formats apart by their first bytes; refuse what is no file or far too big."""
    if not path.is_file():
        raise WeightsError("no such file" if not path.exists() else "not a file")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise WeightsError(f"{size} bytes, more than the {MAX_FILE_BYTES} any MPCNet needs")
    with path.open("rb") as file:
        head = file.read(9)
    if len(head) < 9:
        raise WeightsError(f"not a weights file: {size} bytes")
    # 8 bytes of header length, then the header, JSON
    if head[8:] == b"{" and int.from_bytes(head[:8], "little") <= size:
        return True
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return False
    raise WeightsError("not a weights file: neither safetensors nor a torch checkpoint, or cut off")


def _read_ours(path: Path) -> tuple[NetworkInfo, dict[str, Tensor]]:
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
    if "info" not in metadata:
        raise WeightsError("safetensors without the metadata of an MPCNet")
    try:
        return _info_of(json.loads(metadata["info"])), state
    except WeightsError as error:
        raise WeightsError(f"bad metadata: {error}") from None
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"bad metadata: {error}") from error


def _info_of(values: Any) -> NetworkInfo:
    if not isinstance(values, dict):
        raise WeightsError(f"it is a {type(values).__name__}, expected an object")
    known = [each.name for each in fields(NetworkInfo)]
    if unknown := [str(key)[:80] for key in values if key not in known]:
        raise WeightsError(f"unknown {', '.join(unknown[:3])}; there are {', '.join(known)}")
    if missing := [key for key in known if key not in values and key != "recipe"]:
        raise WeightsError(f"{', '.join(missing)} missing")
    return NetworkInfo(**values)


def _read_public(path: Path) -> tuple[NetworkInfo, dict[str, Tensor]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MAX_FILE_BYTES:
            raise WeightsError(f"unpacks to {unpacked} bytes, more than any MPCNet needs")
    try:
        with warnings.catch_warnings():  # about odd pickle protocols: an error follows or nothing
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if "weights_only" in str(error).lower():  # torch's advice on how to run the code anyway
            raise WeightsError("its pickle asks to run code, or is damaged: refused") from None
        raise
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise WeightsError(f"holds a {type(content).__name__}, not a checkpoint")
    public: dict[str, Tensor] = {}
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(f"no state_dict: {str(key)[:80]!r} holds a {type(value).__name__}")
        public[key.removeprefix("module.").removeprefix("model.")] = value
    # A view can claim any size at no cost in the file; it costs when the parts are put together.
    if sum(value.numel() for value in public.values()) > MAX_FILE_BYTES // 4:
        raise WeightsError("its tensors claim more memory than any MPCNet needs")

    first = public.get("Backbone_1.conv.weight")
    if first is None or first.ndim != 4:
        names = ", ".join(list(public)[:3]) or "nothing"
        raise WeightsError(
            f"weights of another network: no Backbone_1.conv.weight among {len(public)} tensors "
            f"({names[:200]})"
        )
    info = NetworkInfo(
        name=path.name.removesuffix(".tar").removesuffix(".pth").removesuffix(".pt"),
        width=first.shape[0],
        mean=NUAA_SIRST_MEAN,
        std=NUAA_SIRST_STD,
        picture_size=256,
        threshold=0.5,
        recipe={"source": "checkpoint of the public MPCNet code"},
    )
    return info, _from_public(public, info.width)


# ---------------------------------------------------------------- the public code's names

_COORDINATE = {"conv": "conv1", "bn": "bn1", "expand_h": "conv_h", "expand_w": "conv_w"}
_MPM = {
    **{f"branch{k}.conv": f"Conv_{k}.0" for k in (3, 5, 7)},
    **{f"branch{k}.bn": f"Conv_{k}.1" for k in (3, 5, 7)},
    "merge": "Conv",
    **{f"attention.{ours}": f"ca.{public}" for ours, public in _COORDINATE.items()},
}
_GSFM = {
    "align": "conv1",
    "low_kvq": "LOW_K LOW_V LOW_Q",
    "high_kvq": "HIGH_K HIGH_V HIGH_Q",
    "gains": "gamma1 gamma2 gamma3 gamma4",
    "reduce": "REDUCE",
}
_SCFM = {
    "low_attention.weigh": "low_spatial_att.conv1",
    "high_attention.weigh": "high_spatial_att.conv1",
    "low_saliency": "low_saliency_block",
    "high_saliency": "high_saliency_block",
    "mix": "mix_proj",
    **{f"attention.{ours}": f"coord_att.{public}" for ours, public in _COORDINATE.items()},
    "low_project": "low_proj",
    "high_project": "high_proj",
    "fuse": "fusion_conv",
}
# Our module -> the public one; several public ones are concatenated along their channels.
_MODULES = {
    "encoder1": "Backbone_1",
    "encoder2.0": "Backbone_2",
    "encoder2.1.conv": "Backbone_2.downsample.conv_fusion",
    "encoder2.1.bn": "Backbone_2.downsample.batch_norm",
    "encoder3.0": "Backbone_3",
    "encoder3.1.conv": "Backbone_3.downsample.conv_fusion",
    "encoder3.1.bn": "Backbone_3.downsample.batch_norm",
    **{f"head{n}": f"final_{n}.0" for n in (1, 2, 3)},
    **{
        f"{ours}{n}.{part}": " ".join(f"{public}_{n}.{name}" for name in names.split())
        for ours, public, parts, numbers in (
            ("mpm", "MPM", _MPM, (1, 2, 3)),
            ("gsfm", "GSFM", _GSFM, (1, 2)),
            ("scfm", "SCFM", _SCFM, (1, 2, 3)),
        )
        for n in numbers
        for part, names in parts.items()
    },
}


def public_names(key: str) -> list[str]:
    """Return the public code's names of the tensors that make up our state_dict's `key`."""
    module = next(m for m in _MODULES if key == m or key.startswith(f"{m}."))
    rest = key.removeprefix(module)
    rest = rest.replace("activation.conv.", "act.").replace("activation.", "act.")
    return [name + rest for name in _MODULES[module].split()]


def _from_public(public: Mapping[str, Tensor], width: int) -> dict[str, Tensor]:
    """Rename and concatenate the public code's tensors into the state_dict of our MPCNet."""
    with torch.device("meta"):
        ours = {key: public_names(key) for key in MPCNet(width).state_dict()}
    wanted = {name for names in ours.values() for name in names}
    wrong = sorted(wanted ^ public.keys())
    if wrong:
        first = ", ".join(f"{k} is {'missing' if k in wanted else 'unknown'}" for k in wrong[:3])
        raise WeightsError(
            f"weights of another network: {len(wrong)} names differ from MPCNet's {len(wanted)}: "
            f"{first[:300]}"
        )
    state = {}
    for key, names in ours.items():
        parts = [public[name] for name in names]
        # One counter serves for three: the public blocks were always called together.
        state[key] = parts[0] if len(parts) == 1 or parts[0].ndim == 0 else torch.cat(parts)
    return state
