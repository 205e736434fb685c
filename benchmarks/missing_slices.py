"""Series that lack slices, filled by `--fill-missing`: labels by true positions, or as if even.

    SLICEFILL_DATA=~/data python benchmarks/missing_slices.py --limit 8
    python benchmarks/missing_slices.py --data ~/data --sets hippocampus --method shape_matched

Of each scan every second slice goes, and of the rest, but for the outermost two, each with
probability 0.4. Dice, mean over the labels, is that of the slices that went, with the areas of
labels at the true positions (`placed`) and as if the slices lay evenly (`even`). Subjects are
those of the development half.

Writes cases.csv, and prints means, the gain of `placed` and the scans that lose.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from real_sets import Design, Scan, find_scans, load_design, set_options

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import load_named
from slicefill.ingestion.reading import read_raw_case
from slicefill.metrics.overlap import mean_dice
from slicefill.types import Case, Stack, Volume

SETS = ["hippocampus", "brain_t1", "mouse_brain"]
_GONE = 0.4  # of the slices that are left when every second one is gone
_SEED = 0


def main() -> None:
    """Measure and print the table."""
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for name in options.sets:
        design = load_design(options.data / name, 2)
        scans, _ = find_scans(design, "development", options.limit)
        for case, scan in scans.items():
            rows += [{"set": name, "case": case, **row} for row in _measure(scan, design, options)]
            pd.DataFrame(rows).to_csv(options.out / "cases.csv", index=False)
            print(f"{name} {case}", flush=True)
    print(_table(pd.DataFrame(rows)).to_markdown(floatfmt=".4f"))


def _options() -> argparse.Namespace:
    parser = set_options(__doc__, "missing_slices")
    parser.set_defaults(sets=SETS)
    parser.add_argument("--method", default="pretrained", help="(%(default)s)")
    return parser.parse_args()


def _measure(scan: Scan, design: Design, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Fill a scan that lacks slices, by both ways."""
    params = design.imputation.model_copy(update={"count": 0, "through_plane": "S"})
    imputer = load_named(options.method, params)
    lacking, truth = _thinned(read_raw_case(scan.raw, design.ingestion))
    placed = Stack.placed
    ways = {"placed": placed, "even": lambda stack, at: replace(placed(stack, at), at=None)}
    for way, place in ways.items():
        with patch.object(Stack, "placed", place):
            made = impute_case(lacking, imputer, params)
        dice = _dice(made, truth, list(lacking.absent))
        yield {"way": way, "absent": len(lacking.absent), "dice": dice}


def _thinned(truth: Case) -> tuple[Case, Case]:
    """Return a scan that lacks slices, zero there, and the truth between its outermost."""
    rng = np.random.default_rng(_SEED)
    last = (truth.image.stored.shape[Case.ACROSS] - 1) // 2 * 2
    kept = [k for k in range(0, last + 1, 2) if k in (0, last) or rng.random() >= _GONE]
    absent = [k for k in range(last + 1) if k not in kept]
    whole = replace(truth, image=_until(truth.image, last), label=_until(truth.label, last))
    image, label = (_blank(each, absent) for each in (whole.image, whole.label))
    return Case(image, label, record={"absent_slices": absent}), whole


def _until(volume: Volume, last: int) -> Volume:
    return volume.with_stored(volume.stored[:, :, : last + 1])


def _blank(volume: Volume, absent: Sequence[int]) -> Volume:
    stored = volume.stored.copy()
    stored[:, :, absent] = 0
    return volume.with_stored(stored)


def _dice(made: Case, truth: Case, absent: list[int]) -> float:
    label, there = (each.label.stored[:, :, absent] for each in (made, truth))
    return mean_dice(label, there, [int(identity) for identity in np.unique(there) if identity])


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means by set and way, the gain of `placed`, and the scans that lose."""
    wide = rows.pivot(index=["set", "case"], columns="way", values="dice")
    wide["gain"] = wide.placed - wide.even
    by_set = wide.groupby("set")
    return by_set.mean().assign(scans=by_set.size(), lose=(wide.gain < 0).groupby("set").sum())


if __name__ == "__main__":
    main()
