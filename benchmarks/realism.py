"""Do realism metrics rank real < learned < linear, and do they find copies and duplicates?

    SLICEFILL_DATA=~/data python benchmarks/realism.py --sets hippocampus --limit 25

Slices of *development* subjects are removed, imputed by `linear`, `cubic` and the shipped
weights, and compared as a set with real slices (docs/realism.md). Every fifth subject is not
scored: its slices are those of training. Then one synthetic slice in five of the last method is
replaced by a whole training slice, and nine in ten by one and the same; as these lie in the
acquired plane, it is there that copies and duplicates are to be found. Writes
`realism.csv` (set, factor, method, metric, n, value) and a figure per set, and prints the table.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from real_sets import FACTORS, Design, Scan, find_scans, load_design, read_pair, set_options

from slicefill.datasets.figures import to_png
from slicefill.geometry import through_plane_axis
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import load_named
from slicefill.metrics import REAL
from slicefill.metrics.image import ImagePair
from slicefill.metrics.real_channels import real_channels
from slicefill.metrics.realism.ellipses import ellipses
from slicefill.metrics.scoring import (
    Correspondence,
    corresponding_slices,
    pair_channels,
    pair_labels,
)
from slicefill.metrics.sets import describe_case, score_set
from slicefill.reporting.figures import realism_ellipses
from slicefill.simulation.label_noise import fit_shape
from slicefill.types import Array, Case

METHODS = ("linear", "cubic", "pretrained")
REQUESTED = ("c2st", "frechet", "mahalanobis", "mmd", "collapse", "memorisation", "similarity")
REQUESTED += ("correlation", "label_mmd")
PLANTED = {"copies": 0.2, "duplicates": 0.9}
"""Share of the slices of the last method that are replaced."""
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
    training: Described = {}
    sources: list[ImagePair] = []
    for scan in (scan for scan in scans.values() if scan.subject not in scored):
        pairs = _real_pairs(read_pair(scan, design)[0], design)
        training.setdefault(scan.subject, []).append(describe_case(pairs, {}, REQUESTED))
        sources += pairs
    chosen = [scan for scan in scans.values() if scan.subject in scored]
    sets = _describe(chosen, sources, design, options)
    figure = realism_ellipses(ellipses({name: (sets[name], training) for name in options.methods}))
    (options.out / f"{design.name}_x{design.factor}.png").write_bytes(to_png(figure))
    found = {name: score_set(own, training, REQUESTED) for name, own in sets.items()}
    found[REAL] = score_set(sets[options.methods[-1]], training, REQUESTED, control=True)
    whose = {"set": design.name, "factor": design.factor, "n": len(scored)}
    return [
        {**whose, "method": name, "metric": metric, "value": value}
        for name, values in found.items()
        for metric, value in values.items()
    ]


def _describe(
    scans: Sequence[Scan], sources: Sequence[ImagePair], design: Design, options: argparse.Namespace
) -> dict[str, Described]:
    """Impute the scans by every method; the last one once more for each kind that is planted."""
    imputers = {name: load_named(name, design.imputation) for name in options.methods}
    last, rng = options.methods[-1], np.random.default_rng(0)
    sets: dict[str, Described] = {}
    for scan in scans:
        truth, acquired = read_pair(scan, design)
        for name, imputer in imputers.items():
            imputed = impute_case(acquired, imputer, design.imputation)
            slices = corresponding_slices(imputed.record)
            assert slices is not None
            real = real_channels(truth, slices.axis, design.evaluation.body_quantile)
            labels = pair_labels(imputed, truth, slices, design.evaluation.label_names)
            made = {name: pair_channels(imputed, real, slices)}
            for kind in PLANTED if name == last else ():
                made[f"{name} with {kind}"] = [_plant(p, sources, kind, rng) for p in made[name]]
            for whose, pairs in made.items():
                own = sets.setdefault(whose, {}).setdefault(scan.subject, [])
                own.append(describe_case(pairs, labels, REQUESTED))
    return sets


def _real_pairs(truth: Case, design: Design) -> list[ImagePair]:
    """Pair a scan of training with itself: all of its slices count."""
    axis = through_plane_axis(truth.image.affine, design.subsampling.axis)
    every = np.arange(truth.image.stored.shape[axis])
    slices = Correspondence(axis, every, every, np.ones(len(every), bool))
    real = real_channels(truth, axis, design.evaluation.body_quantile)
    return pair_channels(truth, real, slices)


def _plant(
    pair: ImagePair, sources: Sequence[ImagePair], kind: str, rng: np.random.Generator
) -> ImagePair:
    """Replace a share of the synthetic slices by whole ones of training, or by one and the same."""
    made = pair.prediction.copy()
    for place in np.flatnonzero(pair.synthetic):
        source = sources[rng.integers(len(sources)) if kind == "copies" else 0]
        shown = np.flatnonzero(source.masks[""].any(axis=(1, 2)))
        there = rng.choice(shown) if kind == "copies" else shown[len(shown) // 2]
        if rng.random() < PLANTED[kind]:
            made[place] = _slice_for(pair, source, there)
    return replace(pair, prediction=made)


def _slice_for(pair: ImagePair, source: ImagePair, place: int) -> Array:
    """Bring a slice of training to the grid and the intensities of another scan."""
    scaled = (source.truth[place] - source.low) / source.data_range
    return fit_shape(scaled, pair.truth.shape[1:]) * pair.data_range + pair.low


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = set_options(__doc__, "realism")
    parser.add_argument("--methods", nargs="+", default=[*METHODS], help="(%(default)s)")
    parser.add_argument("--factors", nargs="+", type=int, default=[4], help="(%(default)s)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
