"""What a run saw and ran on: data sets by their fingerprint, packages, machine."""

import hashlib
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path

import pandas as pd

from slicefill.tracking.runs import current_run
from slicefill.tracking.values import log_table, log_text

_CONTEXTS = {"train": "training", "validation": "validation", "test": "test"}
_NAMING = ["image", "label"]  # columns with paths


def log_inputs(name: str, manifest: pd.DataFrame, splits: pd.DataFrame) -> None:
    """Log the data of a run as MLflow datasets, one per split, and the manifest without names.

    Args:
        name: Of the data set.
        manifest: One row per case, with `case`, `subject` and SHA-256s of the files.
        splits: `case`, `subject` and `split`.
    """
    run = current_run()
    if run is None:
        return
    table = manifest.merge(splits[["case", "split"]], on="case")
    parts = {context: table[table["split"] == split] for split, context in _CONTEXTS.items()}
    run.send(
        "inputs",
        datasets={
            context: _describe(name, part) for context, part in parts.items() if not part.empty
        },
    )
    log_table(without_names(table), "manifest")


def without_names(manifest: pd.DataFrame) -> pd.DataFrame:
    """Drop the paths, and replace case, subject and views by checksums of file contents.

    A case becomes the start of its image's SHA-256, the others the checksum of all their images.
    Only someone who has the files can identify a case.
    """
    named = manifest.assign(
        case=manifest["image_sha256"].str[:12],
        subject=_anonymous(manifest, "subject"),
        views=_anonymous(manifest, "views"),
    )
    return named.drop(columns=_NAMING)


def _anonymous(manifest: pd.DataFrame, column: str) -> "pd.Series[str]":
    return manifest.groupby(column)["image_sha256"].transform(_checksum).str[:12]


def _describe(name: str, cases: pd.DataFrame) -> dict[str, str]:
    """Fields of an MLflow dataset; the digest depends on their contents, not on their names."""
    files = pd.concat([cases["image_sha256"], cases["label_sha256"]])
    profile = {"cases": len(cases), "subjects": cases["subject"].nunique()}
    return {
        "name": name,
        "digest": _checksum(files)[:12],
        "source_type": "code",  # the one kind of MLflow's that holds no path
        "source": json.dumps({"tags": {"cases": "see manifest.csv among the run's artifacts"}}),
        "profile": json.dumps(profile),
    }


def _checksum(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


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
