"""What a run ran on and with: packages, Python, machine."""

import json
import platform
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

from slicefill.tracking.artifacts import log_text
from slicefill.tracking.runs import current_run


def log_environment() -> None:
    """Log `environment/packages.txt` (as pip writes it) and `environment/machine.json`."""
    if current_run() is None:
        return
    found = {f"{one.name}=={one.version}" for one in distributions()}
    log_text("\n".join(sorted(found, key=str.lower)) + "\n", "environment/packages.txt")
    log_text(json.dumps(describe_machine(), indent=2) + "\n", "environment/machine.json")


def describe_machine() -> dict[str, object]:
    """Python, system, processors, memory (GiB) and graphics cards; neither host nor user name."""
    import psutil

    return {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "graphics_cards": _graphics_cards(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _graphics_cards() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    fields = "--query-gpu=name,memory.total,driver_version"
    command = ["nvidia-smi", fields, "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []
