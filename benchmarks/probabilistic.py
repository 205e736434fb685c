"""Are the samples of probabilistic imputation calibrated? Trains a small one and measures.

    SLICEFILL_DATA=~/data python benchmarks/probabilistic.py --sets hippocampus --limit 40 \
        --changes '{windows: {factors: [4], size: [12, 24, 24]}, optimisation: {epochs: 2,
        steps_per_epoch: 80, learning_rate: 1.5e-3}}'

Of the scans of *development* subjects of a set ×4 the first `--trained` train, six choose the scale
of the spread, and the last `--scored` of other subjects are measured on their removed slices: PSNR
of the mean beside `linear`, and Dice of its labels beside `shape_matched`; Spearman's correlation
of the spread, and of the standard deviation of the samples alone, with the absolute error of the
mean; the share of voxels within 1.645 times the spread (90 % is due) and within the 5 to 95 % of
the samples; how alike the departures of a sample from the mean are in neighbouring slices of an
interval (0: flicker). Prints means over scans and their standard deviation.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from read_conf import read_parameters
from real_sets import Design, Scan, find_scans, load_design, read_pair, set_options
from scipy.stats import spearmanr

from slicefill.geometry import slices_first, through_plane_axis
from slicefill.imputation.dense_grid import stack_case
from slicefill.imputation.methods.classical import impute_classically
from slicefill.imputation.methods.probabilistic import training
from slicefill.imputation.methods.probabilistic.drawing import load_sampler
from slicefill.imputation.methods.probabilistic.infer import impute_by_sampling
from slicefill.imputation.methods.probabilistic.params import Params
from slicefill.imputation.orientation import Turn
from slicefill.metrics.overlap import mean_dice
from slicefill.training.fit import Run, Stateless
from slicefill.types import Case, Floats, Promise

_FACTOR, _VALIDATION = 4, 6


def main() -> None:
    """Train, or read a checkpoint; measure; print the table."""
    parser = set_options(__doc__, "probabilistic")
    parser.add_argument("--trained", type=int, default=24, help="scans (%(default)s)")
    parser.add_argument("--scored", type=int, default=12, help="scans (%(default)s)")
    parser.add_argument("--changes", default="{}", help="of `probabilistic` in conf, as YAML")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.sets:
        design = load_design(Path(options.data) / name, _FACTOR)
        scans, _ = find_scans(design, "development", options.limit)
        names = [*scans]
        learned = names[: options.trained + _VALIDATION]
        known = {scans[each].subject for each in learned}
        scored = [each for each in names if scans[each].subject not in known][-options.scored :]
        path = options.out / f"{name}.pt"
        if not path.exists():
            torch.save(_train(scans, learned, design, _params(name, options.changes)), path)
        checkpoint = torch.load(path, weights_only=True)
        rows = [_measure(scans[each], design, checkpoint) for each in scored]
        table = pd.DataFrame(rows)
        table.to_csv(options.out / f"{name}.csv", index=False)
        print(f"{design}, n = {len(rows)}, powers {np.round(checkpoint['spread_powers'], 2)}")
        print(table.agg(["mean", "std"]).T.round(3).to_markdown())


def _params(name: str, changes: str) -> Params:
    own = read_parameters(name)["probabilistic"]
    for key, change in yaml.safe_load(changes).items():
        own[key] = {**own[key], **change} if isinstance(change, dict) else change
    return Params(**own)


def _train(scans: dict[str, Scan], names: list[str], design: Design, params: Params) -> dict:
    cases = {each: Promise(partial(_truth, scans[each], design), each) for each in names}
    parts = {
        "train": {each: cases[each] for each in names[:-_VALIDATION]},
        "validation": {each: cases[each] for each in names[-_VALIDATION:]},
    }
    print({part: len(own) for part, own in parts.items()})
    run = Run(Stateless(), lambda values, epoch: print(epoch, values, flush=True))
    return training.train(parts, params, run)


def _truth(scan: Scan, design: Design) -> Case:
    return read_pair(scan, design)[0]


def _measure(scan: Scan, design: Design, checkpoint: dict) -> dict[str, float]:
    truth, acquired = read_pair(scan, design)
    params = design.imputation
    axis = through_plane_axis(acquired.image.affine, params.through_plane)
    turn, kept = Turn.of(acquired.image.affine, axis), acquired.record["kept"]
    stack = turn.stack(stack_case(acquired, axis, params.window))
    positions = [n / _FACTOR for n in range(1, _FACTOR)]
    sampler = load_sampler(checkpoint, None, params)
    rng, ends = np.random.default_rng(0), params.label_ends
    made = impute_by_sampling(sampler, stack, positions, rng, ends=ends)
    linear = impute_classically("shape_matched", stack, positions)
    made, linear = turn.back(made), turn.back(linear)
    low, high = stack.window[0]

    def shown(image: Floats) -> Floats:
        return (image[:, :, 0] - low) / (high - low)

    real = _removed(slices_first(truth.image.intensities(), axis), kept)
    real = (real - low) / (high - low)
    body = real > 0.1
    samples = np.stack([shown(one) for one in made.samples])
    error, within = np.abs(shown(made.image) - real)[body], samples.std(axis=0, ddof=1)[body]
    spread, between = made.spread[body], np.quantile(samples, [0.05, 0.95], axis=0)
    away = samples - samples.mean(axis=0)
    beside = [np.corrcoef(away[:, :, n].ravel(), away[:, :, n + 1].ravel())[0, 1] for n in (0, 1)]
    found = {
        "psnr": _psnr(shown(made.image), real, body),
        "psnr_linear": _psnr(shown(linear.image), real, body),
        "psnr_one_sample": _psnr(samples[0], real, body),
        "spearman_spread": spearmanr(spread, error).statistic,
        "spearman_samples": spearmanr(within, error).statistic,
        "coverage_90": float((error <= 1.645 * spread).mean()),
        "coverage_90_samples": float(((real >= between[0]) & (real <= between[1]))[body].mean()),
        "spread": float(spread.mean()),
        "samples_apart": float(within.mean()),
        "error": float(error.mean()),
        "alike_beside": float(np.mean(beside)),
    }
    if truth.label is not None and made.label is not None:
        label = _removed(slices_first(truth.label.stored, axis), kept)
        ids = [int(one) for one in np.unique(label) if one]
        found["dice"] = mean_dice(made.label, label, ids)
        found["dice_shape_matched"] = mean_dice(linear.label, label, ids)
    return found


def _removed(slices: np.ndarray, kept: list[int]) -> np.ndarray:
    """Removed slices by interval, `(D - 1, N, H, W)`."""
    whole = slices[kept[0] : kept[-1]]
    return whole.reshape(len(kept) - 1, _FACTOR, *slices.shape[1:])[:, 1:]


def _psnr(image: Floats, real: Floats, body: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(image - real)[body].mean()))


if __name__ == "__main__":
    main()
