"""On what a benchmark ran: without it no number means anything."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

_ROOT = Path(__file__).resolve().parents[1]
_CPU_INFO = Path("/proc/cpuinfo")
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
_PACKAGES = ("torch", "openvino", "numpy", "opencv-python", "opencv-python-headless", "av")


def surroundings(threads: int | None) -> dict[str, Any]:
    """Machine, versions, commit, threads and date, as plain values.

    Args:
        threads: those asked for; None: the product's own choice.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "versions": _versions(),
        "git": _git(),
        "threads": {"asked": threads, "torch": torch.get_num_threads()},
    }


def in_words(around: dict[str, Any]) -> str:
    """The same in a few lines of Markdown."""
    machine, threads, git = around["machine"], around["threads"], around["git"]
    flags = machine["cpu_flags"]
    known = "flags unknown" if flags is None else " ".join(k for k, there in flags.items() if there)
    asked = "default" if threads["asked"] is None else threads["asked"]
    commit = "none"
    if git is not None:
        commit = git["commit"][:12] + (" and changes" if git["changed"] else "")
    lines = [
        f"{machine['cpu']}, {machine['usable_cores']} of {machine['cores']} cores ({known or '-'})",
        f"GPU: {', '.join(machine['gpus']) or 'none'}",
        f"threads {asked} (torch: {threads['torch']}), load at the start {machine['load_1min']}",
        ", ".join(f"{name} {version}" for name, version in around["versions"].items()),
        f"commit {commit}, {around['date']}",
    ]
    return "".join(f"* {line}\n" for line in lines)


def _machine() -> dict[str, Any]:
    model, flags = _cpu()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    there = torch.cuda.is_available()
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "usable_cores": usable,
        "cpu_flags": flags,
        "load_1min": load,
        "gpus": [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count() * there)],
        "system": platform.platform(),
    }


def _cpu() -> tuple[str, dict[str, bool] | None]:
    """The processor's name, and which of the flags that matter here it has (Linux on x86)."""
    fields: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())
    model = fields.get("model name") or platform.processor() or platform.machine()
    if "flags" not in fields:
        return model, None
    have = set(fields["flags"].split())
    return model, {flag: flag in have for flag in _FLAGS}


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def _git() -> dict[str, Any] | None:
    """The checkout's commit and whether tracked files differ from it; None outside of one."""
    commit = _git_says("rev-parse", "HEAD")
    if not commit:
        return None
    changed = _git_says("status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "changed": None if changed is None else bool(changed)}


def _git_says(*arguments: str) -> str | None:
    command = ["git", "-C", str(_ROOT), *arguments]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip()
