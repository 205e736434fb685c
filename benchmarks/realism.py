"""Do realism metrics rank real < learned < linear, and do they find copies and duplicates?

    SLICEFILL_DATA=~/data python benchmarks/realism.py --sets hippocampus --limit 25

Slices of *development* subjects are removed, imputed by `linear`, `cubic` and the shipped
weights, and compared as a set with real slices (docs/realism.md). Every fifth subject is not
scored: its slices are those of training. Then one synthetic slice in five of the last method is
replaced by a training slice, and nine in ten by one and the same. Writes
`realism.csv` (set, factor, method, metric, n, value) and a figure per set, and prints the table.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from real_sets import FACTORS, Design, find_scans, load_design, read_pair, set_options

from slicefill.datasets.figures import to_png
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import load_named
from slicefill.metrics import REAL
from slicefill.metrics.real_channels import real_channels
from slicefill.metrics.realism.ellipses import ellipses
from slicefill.metrics.scoring import corresponding_slices, pair_channels, pair_labels
from slicefill.metrics.sets import describe_case, score_set
from slicefill.reporting.figures import realism_ellipses

METHODS = ("linear", "cubic", "pretrained")
REQUESTED = ("c2st", "frechet", "mahalanobis", "mmd", "collapse", "memorisation", "similarity")
REQUESTED += ("correlation", "label_mmd")
_WINDOWS = "describe_windows"
Described = dict[str, list[dict[str, list[Any]]]]


def main(arguments: list[str] | None = None) -> None:
    """Measure every set that exists, print the table and write it."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for name in options.sets:
        for factor in FACTORS[name]:
            if factor in options.factors:
                rows += _measure(load_design(Path(options.data) / name, factor), options)
    table = pd.DataFrame(rows)
    table.to_csv(options.out / "realism.csv", index=False)
    wide = table.pivot(index=["set", "factor", "metric", "n"], columns="method", values="value")
    print(wide.round(4).to_markdown())


def _measure(design: Design, options: argparse.Namespace) -> list[dict[str, Any]]:
    scans, _ = find_scans(design, "development", options.limit)
    subjects = list(dict.fromkeys(scan.subject for scan in scans.values()))
    scored = set(subjects[: len(subjects) * 4 // 5])
    sets: dict[str, tuple[Described, Described]] = {name: ({}, {}) for name in options.methods}
    imputers = {name: load_named(name, design.imputation) for name in options.methods}
    for scan in scans.values():
        truth, acquired = read_pair(scan, design)
        for name, imputer in imputers.items():
            imputed = impute_case(acquired, imputer, design.imputation)
            slices = corresponding_slices(imputed.record)
            assert slices is not None
            real = real_channels(truth, slices.axis, design.evaluation.body_quantile)
            kept = describe_case(
                pair_channels(imputed, real, slices),
                pair_labels(imputed, truth, slices, design.evaluation.label_names),
                REQUESTED,
            )
            sets[name][scan.subject not in scored].setdefault(scan.subject, []).append(kept)
    figure = realism_ellipses(ellipses(sets))
    (options.out / f"{design.name}_x{design.factor}.png").write_bytes(to_png(figure))
    last = options.methods[-1]
    for kind in ("copies", "duplicates"):
        sets[f"{last} with {kind}"] = (_plant(*sets[last], kind), sets[last][1])
    found = {name: score_set(*own, REQUESTED) for name, own in sets.items()}
    found[REAL] = score_set(*sets[last], REQUESTED, control=True)
    whose = {"set": design.name, "factor": design.factor, "n": len(scored)}
    return [
        {**whose, "method": name, "metric": metric, "value": value}
        for name, values in found.items()
        for metric, value in values.items()
    ]


def _plant(cases: Described, unscored: Described, kind: str) -> Described:
    """Replace a fifth of synthetic windows by training slices, or nine tenths by one of them."""
    sources = [array[1] for own in unscored.values() for case in own for array in case[_WINDOWS]]
    planted: Described = {}
    number = 0
    for subject, own in cases.items():
        planted[subject] = []
        for case in own:
            windows: Sequence[Any] = [array.copy() for array in case[_WINDOWS]]
            for array in windows:
                for place in range(array.shape[2]):
                    number += 1
                    if kind == "copies" and number % 5 == 0:
                        array[0, :, place] = sources[number % len(sources)][:, place]
                    elif kind == "duplicates" and number % 10:
                        array[0, :, place] = sources[0][:, 2]
            planted[subject].append({**case, _WINDOWS: windows})
    return planted


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = set_options(__doc__, "realism")
    parser.add_argument("--methods", nargs="+", default=[*METHODS], help="(%(default)s)")
    parser.add_argument("--factors", nargs="+", type=int, default=[4], help="(%(default)s)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
