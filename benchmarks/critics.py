"""What the critics of slabs, high frequencies and reformatted planes weigh, and what they do.

    SLICEFILL_DATA=~/data python benchmarks/critics.py --train 24 --limit 8 --seeds 3
    SLICEFILL_DATA=~/data python benchmarks/critics.py --rows si_slab --weight adv_slab=0.02

Rows are entries of `methods` that differ in one critic or part; each is trained for some steps on
subsampled *development* subjects and imputes other development subjects. Prints the share of every
term in the gradients (mean over epochs after the first, and the range over seeds), and per row
PSNR and SSIM in the body, gradient energy across slices over the real one (1 is best) and the mean
SSIM of adjacent slices minus that of the real volume (0 is best): means over subjects and seeds,
and the change against the first row, paired by subject and seed, with the range over seeds.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from learning import subsampled_scans
from read_conf import read_parameters
from real_sets import (
    Design,
    Scan,
    find_scans,
    load_design,
    read_pair,
    set_options,
)
from sharpness import adjacent_excess

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import learned_imputer
from slicefill.imputation.methods import find_method
from slicefill.imputation.methods.slice_imputation.training import train
from slicefill.imputation.methods.slice_imputation.training_set import TrainingData
from slicefill.metrics.scoring import corresponding_slices, score_imputed_case
from slicefill.training.fit import Run, Stateless, ignore
from slicefill.types import Checkpoint

ROWS = ("si_without_frequency", "si_slab", "si_frequency", "si_reformatted")
SHOWN = ("psnr_body", "ssim_body", "gradient_ratio", "adjacent")
_SHARE = "train/share/"


def main(arguments: list[str] | None = None) -> None:
    """Train every row with every seed, print shares and scores."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    shares, scores = [], []
    for name in options.sets:
        design = load_design(Path(options.data) / name, 4)
        for seed in range(options.seeds):
            for row in options.rows:
                own = {"set": name, "row": row, "seed": seed}
                made = _train(row, seed, design, options)
                shares += [own | {"term": term, "share": v} for term, v in _shares(made).items()]
                scores += [own | each for each in _score(made, design, options)]
                pd.DataFrame(scores).to_csv(options.out / "scores.csv", index=False)
                pd.DataFrame(shares).to_csv(options.out / "shares.csv", index=False)
    print(_table_of_shares(pd.DataFrame(shares)).to_markdown())
    if scores:
        print(_table_of_scores(pd.DataFrame(scores)).to_markdown())


def _train(row: str, seed: int, design: Design, options: argparse.Namespace) -> Checkpoint:
    parameters = read_parameters(design.name, factor=design.factor)
    params: Any = find_method(row, parameters).params
    length = {"epochs": options.epochs, "groups_per_epoch": options.groups, "seed": seed}
    optimisation = params.optimisation.model_copy(update={**length, "validation_groups": 40})
    weights = {**params.weights, params.preset: {**params.weights[params.preset], **options.weight}}
    params = params.model_copy(update={"optimisation": optimisation, "weights": weights})
    taught, held_out = _divided(design, options)
    few = dict(list(held_out.items())[:2])
    promises = [subsampled_scans(design, scans).cases for scans in (taught, few)]
    data = TrainingData(*promises, design.synthesis.through_plane)
    return train(data, params, Run(Stateless(), ignore))


def _divided(
    design: Design, options: argparse.Namespace
) -> tuple[dict[str, Scan], dict[str, Scan]]:
    """Scans that are learned from, and of other subjects those that are imputed."""
    scans, _ = find_scans(design, "development", options.train + options.limit)
    subjects = list(dict.fromkeys(scan.subject for scan in scans.values()))
    first = set(subjects[: options.train])
    taught = {case: scan for case, scan in scans.items() if scan.subject in first}
    return taught, {case: scan for case, scan in scans.items() if scan.subject not in first}


def _shares(made: Checkpoint) -> dict[str, float]:
    history = pd.DataFrame(made["history"]).query("epoch > 0")
    found = history[history["term"].str.startswith(_SHARE)]
    mean = found.groupby("term", sort=False)["value"].mean()
    return {str(term).removeprefix(_SHARE): float(value) for term, value in mean.items()}


def _score(made: Checkpoint, design: Design, options: argparse.Namespace) -> list[dict[str, Any]]:
    imputer = learned_imputer("trained", made, design.imputation)
    rows = []
    for scan in _divided(design, options)[1].values() if not options.shares_only else ():
        truth, acquired = read_pair(scan, design)
        imputed = impute_case(acquired, imputer, design.imputation)
        slices = corresponding_slices(imputed.record)
        assert slices is not None
        scores = score_imputed_case(imputed, truth, slices, design.evaluation)
        scores["adjacent"] = adjacent_excess(imputed, truth, slices)
        rows.append({"subject": scan.subject, **{name: scores[name] for name in SHOWN}})
    return rows


def _table_of_shares(shares: pd.DataFrame) -> pd.DataFrame:
    table = shares.groupby(["set", "row", "term"], sort=False)["share"]
    return table.agg(["mean", "min", "max"]).mul(100).round(2)


def _table_of_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Means over subjects and seeds; the change against the first row with its range over seeds."""
    of_seeds = scores.groupby(["set", "row", "seed"], sort=False)[[*SHOWN]].mean()
    rows = {}
    for (name, row), own in of_seeds.groupby(["set", "row"], sort=False):
        first = of_seeds.loc[name].loc[scores["row"].iloc[0]]
        change = own.droplevel(["set", "row"]) - first
        rows[name, row] = {
            metric: f"{own[metric].mean():.3f} ({change[metric].mean():+.3f}, "
            f"{change[metric].min():+.3f} to {change[metric].max():+.3f})"
            for metric in SHOWN
        }
    return pd.DataFrame(rows).T


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = set_options(__doc__, "critics", "subjects that are imputed")
    parser.set_defaults(sets=["hippocampus"], limit=8)
    parser.add_argument("--train", type=int, default=24, help="subjects learned from (%(default)s)")
    parser.add_argument("--rows", nargs="+", default=[*ROWS], help="(%(default)s)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6, help="(%(default)s)")
    parser.add_argument("--groups", type=int, default=400, help="per epoch (%(default)s)")
    parser.add_argument("--weight", nargs="+", default=[], help="λ, as adv_slab=0.01")
    parser.add_argument("--shares-only", action="store_true", help="nothing is imputed")
    options = parser.parse_args(arguments)
    options.weight = _numbers(dict(each.split("=") for each in options.weight))
    return options


def _numbers(weights: Mapping[str, str]) -> dict[str, float]:
    return {name: float(value) for name, value in weights.items()}


if __name__ == "__main__":
    main()
