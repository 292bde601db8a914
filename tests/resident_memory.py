"""How much memory this process holds, where there is /proc."""

import resource
from pathlib import Path

STATM = Path("/proc/self/statm")


def resident_megabytes() -> float:
    """Resident, MB."""
    pages = int(STATM.read_text().split()[1])
    return pages * resource.getpagesize() / 1e6
