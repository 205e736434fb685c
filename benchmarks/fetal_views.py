"""Three stacks of a fetal head in three directions, fused: the figure of several_views.md.

    python benchmarks/fetal_views.py DATA/odd/fetal --figure docs/img/fetal_views.png

The stacks are those of the MIAL Super-Resolution Toolkit (CC0, S. Tourbier), `run-N_T2w.nii.gz`
with `run-N_mask.nii.gz`. The head moves apart from the mother: what is masked is registered.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tabulate import tabulate

import slicefill
from slicefill.reporting.figures import first_channel, grid_spec, views
from slicefill.types import Array, Case

_RUNS = (1, 3, 5)
_MARGIN = 6  # voxels around the head


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuse with registration and without, print what was registered, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args(arguments)
    scans = [
        slicefill.read(
            options.data / f"run-{run}_T2w.nii.gz", options.data / f"run-{run}_mask.nii.gz"
        )
        for run in _RUNS
    ]
    way = {"registration": {"kind": "rigid", "region": "label", "starts": [0.0]}}
    shown = {
        "axial stack": slicefill.impute(scans[0], method="nearest"),
        "axial stack, imputed": slicefill.impute(scans[0]),
        "fused by headers": slicefill.fuse(scans, registration="header", least_similarity=0.0),
        "registered, fused": slicefill.fuse(scans, **way),
    }
    print(_table(shown))
    if options.figure:
        _draw(shown, options.figure)


def _table(shown: dict[str, Case]) -> str:
    """What was found of every view, and what was left out."""
    lines = []
    for name, case in shown.items():
        told = case.record.get("fusion", {})
        for view, each in told.get("alignments", {}).items():
            lines.append([name, view, each["similarity"], each["overlap"], ""])
        lines += [[name, view, "", "", why] for view, why in told.get("left_out", {}).items()]
    return tabulate(lines, ["", "view", "similarity", "overlap", "left out"], "github")


def _draw(shown: dict[str, Case], path: Path) -> None:
    """Draw the head alone, from three directions."""
    first = next(iter(shown.values()))
    if first.label is None:
        raise ValueError("expected masks")
    box = _box(first.label.stored)
    cut = first.label.with_stored(first.label.stored[box])
    spec = grid_spec("Fetal head, slices 3.3 mm apart", cut, 2, label=cut)
    columns = {name: first_channel(case.image)[box] for name, case in shown.items()}
    views(None, columns, spec).savefig(path, dpi=110)


def _box(stored: Array) -> tuple[slice, ...]:
    inside = np.argwhere(stored > 0)
    low = np.maximum(inside.min(0) - _MARGIN, 0)
    high = np.minimum(inside.max(0) + 1 + _MARGIN, stored.shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


if __name__ == "__main__":
    main()
