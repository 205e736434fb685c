"""Labels between sparsely annotated slices of complete scans: `slicefill propagate` and its peers.

    SLICEFILL_DATA=~/data python benchmarks/propagate.py
    python benchmarks/propagate.py --data ~/data --sets hippocampus --limit 10 --ways motion

Every fourth or eighth slice along S keeps its labels; Dice is that of the others, between the first
and the last annotated slice, mean over the labels. Peers: `shape_based` and `shape_matched` do not
see images; `pretrained` is `slicefill impute` of the annotated slices alone; `itk_mci` is
itk-morphologicalcontourinterpolation, if it is installed. Subjects are those of the development
half, without the first of each set, on which constants were chosen; `--chosen` takes those.

Writes cases.csv and slices.csv, and prints means, the gain over each peer with the share of cases
that lose, and how well the confidence of a slice ranks its Dice.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import contours
import numpy as np
import pandas as pd
from real_sets import find_scans, load_design, read_pair, set_options
from scipy.optimize import minimize_scalar
from scipy.special import logit
from scipy.stats import spearmanr

from slicefill.geometry import slices_first, through_plane_axis
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import Imputer, load_named
from slicefill.metrics.overlap import mean_dice
from slicefill.params import ImputationParams
from slicefill.params.propagation import PropagationParams
from slicefill.propagation.propagate import propagate_case, untouched
from slicefill.types import Array, Case

SETS = {"brain_t1": 3, "hippocampus": 5}
"""Subjects of each set on which constants were chosen: the first of the development half."""
ABLATIONS = {
    "outlines": {"followed": [0.0], "likeness": [0.0]},
    "motion": {"likeness": [0.0]},
    "fixed": {"followed": [0.25], "likeness": [0.8]},
    "propagate": {},
}
"""Parameters that differ from those of the command."""
PEERS = ("shape_based", "shape_matched", "pretrained", "itk_mci")
Way = Callable[[Case, Case, int], Case]
"""From the truth with sparse labels, the scan of annotated slices alone and n: filled labels."""


def main() -> None:
    """Measure and print tables."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    slices: list[dict[str, Any]] = []
    for name in options.sets:
        for every in options.every:
            _measure(name, every, options, rows, slices)
            pd.DataFrame(rows).to_csv(options.out / "cases.csv", index=False)
            pd.DataFrame(slices).to_csv(options.out / "slices.csv", index=False)
    print(means(pd.DataFrame(rows)).to_markdown(floatfmt=".3f"))
    print("\n" + gains(pd.DataFrame(rows)).to_markdown(index=False, floatfmt=".3f"))
    if slices:
        print("\n" + confidence(pd.DataFrame(slices)).to_markdown(floatfmt=".3f"))


def _options() -> argparse.Namespace:
    parser = set_options(__doc__, "propagation")
    parser.set_defaults(sets=[*SETS])
    parser.add_argument("--every", type=int, nargs="+", default=[4, 8], help="%(default)s")
    ways = [*PEERS, *ABLATIONS]
    parser.add_argument("--ways", nargs="+", choices=ways, default=ways, help="(all)")
    parser.add_argument("--chosen", action="store_true", help="the subjects of the choice")
    return parser.parse_args()


def _measure(
    name: str,
    every: int,
    options: argparse.Namespace,
    rows: list[dict[str, Any]],
    slices: list[dict[str, Any]],
) -> None:
    """Add the rows of a set at a distance of annotated slices."""
    design = load_design(options.data / name, every)
    ways = {way: made for way in options.ways if (made := _way(way, design.imputation))}
    first, _ = find_scans(design, "development", SETS[name])
    limit = None if options.limit is None else options.limit + SETS[name]
    scans, _ = find_scans(design, "development", SETS[name] if options.chosen else limit)
    for case, scan in scans.items():
        if case in first and not options.chosen:
            continue
        truth, thick = read_pair(scan, design)
        axis = through_plane_axis(truth.image.affine, design.imputation.through_plane)
        sparse = _sparse(truth, axis, every)
        for way, fill in ways.items():
            began = time.process_time()
            filled = fill(sparse, thick, every)
            row = {"set": name, "every": every, "case": case, "subject": scan.subject, "way": way}
            row["seconds"] = time.process_time() - began
            rows.append(row | {"dice": _score(filled, truth, axis, every)})
            if way == "propagate":
                assert untouched(sparse, filled)
                row["wander"] = _wander(filled, truth)
                slices += [{**row, **one} for one in _slices(filled, truth, axis)]
        print(f"{name} /{every} {case}", flush=True)


def _way(name: str, params: ImputationParams) -> Way | None:
    """Return a way by its name; None where what it needs is not installed."""
    if name in ABLATIONS:
        own = PropagationParams(**{"through_plane": params.through_plane, **ABLATIONS[name]})
        return lambda sparse, thick, every: propagate_case(sparse, own, every=every)
    if name == "itk_mci":
        return _by_itk if contours.is_installed() else None
    imputer: Imputer = load_named(name, params)
    return lambda sparse, thick, every: impute_case(thick, imputer, params)


def _by_itk(sparse: Case, thick: Case, every: int) -> Case:
    axis = through_plane_axis(sparse.image.affine, "S")
    filled = contours.interpolate(sparse.label.stored, axis)
    return replace(sparse, label=sparse.label.with_stored(filled))


def _sparse(truth: Case, axis: int, every: int) -> Case:
    kept = np.zeros_like(truth.label.stored)
    slices_first(kept, axis)[::every] = slices_first(truth.label.stored, axis)[::every]
    return replace(truth, label=truth.label.with_stored(kept))


def _judged(filled: Case, truth: Case, axis: int, every: int) -> tuple[Array, Array]:
    """Labels of the slices that are not annotated, filled and true."""
    made, there = (slices_first(each.label.stored, axis) for each in (filled, truth))
    last = (len(there) - 1) // every * every
    judged = [index for index in range(last) if index % every]
    return made[judged], there[judged]


def _score(filled: Case, truth: Case, axis: int, every: int) -> float:
    made, there = _judged(filled, truth, axis, every)
    return mean_dice(made, there, [int(label) for label in np.unique(there) if label])


def _slices(filled: Case, truth: Case, axis: int) -> list[dict[str, float]]:
    """Confidence and Dice of all labels together, of every propagated slice that shows one."""
    found = []
    made, there = (slices_first(each.label.stored, axis) for each in (filled, truth))
    for one in filled.record["slices"]:
        if "between" in one:
            own, true = made[one["index"]], there[one["index"]]
            total = np.count_nonzero(own) + np.count_nonzero(true)
            dice = 2 * np.count_nonzero((own == true) & (true != 0)) / total if total else np.nan
            found.append({"index": one["index"], "expected": one["confidence"], "true": dice})
    return [one for one in found if not np.isnan(one["true"])]


def _wander(filled: Case, truth: Case) -> float:
    """Fit the parameter `wander` to a scan: labels are then right as often as they say."""
    sure = filled.maps["confidence"].intensities()
    unsure = sure < 1
    right = np.where(filled.label.stored == truth.label.stored, -1, 1)[unsure]
    odds = right * logit(sure[unsure])
    best = minimize_scalar(lambda share: np.logaddexp(0, share * odds).mean(), (0.5, 1.5))
    return PropagationParams().wander / float(best.x)


def means(rows: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the mean Dice of every way, with cases, subjects and seconds of the command."""
    keys = ["set", "every"]
    table = rows.pivot_table(index=keys, columns="way", values="dice", sort=False)
    counts = rows.groupby(keys).agg(cases=("case", "nunique"), subjects=("subject", "nunique"))
    own = rows[rows["way"] == "propagate"].groupby(keys)["seconds"].mean()
    return counts.join(table).join(own)


def gains(rows: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the gain of the command over every other way: mean, least, share that loses."""
    keys = ["set", "every", "case"]
    wide = rows.pivot_table(index=keys, columns="way", values="dice", sort=False)
    table = []
    for (name, every), own in wide.groupby(level=["set", "every"], sort=False):
        for way in own.columns.drop("propagate", errors="ignore"):
            gain = own["propagate"] - own[way]
            row = {"set": name, "every": every, "over": way, "gain": gain.mean()}
            table.append(row | {"least": gain.min(), "lose": (gain < 0).mean()})
    return pd.DataFrame(table)


def confidence(slices: pd.DataFrame) -> pd.DataFrame:
    """Tabulate expected and true Dice of slices, and the best `wander`, mean over scans."""

    def judge(own: pd.DataFrame) -> pd.Series:
        rank = spearmanr(own["expected"], own["true"]).statistic
        off = own["expected"].mean() - own["true"].mean()
        return pd.Series({"rank": rank, "expected - true": off, "wander": own["wander"].iloc[0]})

    chosen = ["expected", "true", "wander"]
    each = slices.groupby(["set", "every", "case"])[chosen].apply(judge)
    return each.groupby(level=["set", "every"]).mean()


if __name__ == "__main__":
    main()
