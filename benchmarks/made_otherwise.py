"""Scans made otherwise: is the choice of every scan right for those that nobody trained on?

    SLICEFILL_DATA=~/data python benchmarks/made_otherwise.py
    python benchmarks/made_otherwise.py --data ~/data --sets mouse_brain --limit 2

Scans of development subjects as they are, blurred, resampled from coarser grids, with noise; then
every second or fourth slice is kept, and the removed ones are imputed by the shipped weights with
the choice of every scan (`imputation.choose`) and without, by cubic and by linear interpolation.
Of large scans a cube in the middle is used.

Coarser grids have 0.75 and 1.5 times the distance of the kept slices. At just that distance the
kept slices would be those of the grid: the removed ones are then interpolated between them, and
nothing in the kept ones tells it.

Writes `made_otherwise.csv` (a row per scan, PSNR in the body, dB) and `made_otherwise.md`. Rows
that are there are not computed again: after a change of code, use a new folder.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from real_sets import FACTORS, Design, find_scans, load_design, set_options
from scipy.interpolate import make_interp_spline
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from slicefill.geometry import slices_back, slices_first, through_plane_axis
from slicefill.imputation.dense_grid import to_dtype
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import classical_imputer, learned_imputer
from slicefill.imputation.methods.pretrained import load_pretrained
from slicefill.ingestion.reading import read_raw_case
from slicefill.metrics.scoring import corresponding_slices, score_imputed_case
from slicefill.simulation.subsampling import subsample
from slicefill.types import Array, Case

ALLOWED = 0.05  # dB that the choice may lose to the better of linear and cubic
LIMITS = {"hippocampus": 6, "mouse_brain": 3, "cine_sax": 1, "brain_t1": 2, "sts_ct": 2}
_CUBE = 96  # voxels, at most, along every axis
_PROFILE = 0.42  # σ of a slice, widths: FWHM as wide as the slices lie apart
_NOISE = 0.03  # of the 99.5th percentile
Way = Callable[[Array, int], Array]
"""Makes slices `(D, H, W)` otherwise, for a factor by which they will be thinned."""


def main(arguments: list[str] | None = None) -> None:
    """Measure every scan in every way, print the table and write it."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / "made_otherwise.csv"
    done = set(pd.read_csv(target)["scan"]) if target.exists() else set()
    for name in options.sets:
        for factor in [each for each in FACTORS[name] if each in options.factors]:
            design = load_design(options.data / name, factor)
            for scan, case in make_scans(design, options.limit or LIMITS[name], done):
                row = pd.DataFrame([{"scan": scan, **measure(case, design)}])
                row.to_csv(target, mode="a", header=not target.exists(), index=False)
    text = render(pd.read_csv(target))
    (options.out / "made_otherwise.md").write_text(text)
    print(text)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    limit = "subjects of each set (hippocampus 6, brain_t1 and sts_ct 2)"
    parser = set_options(__doc__, "made_otherwise", limit)
    add = parser.add_argument
    add("--factors", nargs="+", type=int, default=[2, 4], help="(all)")
    return parser.parse_args(arguments)


def _blurred(sigma: float, across: bool) -> Way:
    return lambda slices, _: gaussian_filter(slices, (sigma, 0, 0) if across else sigma)


def _resampled(coarser: float, degree: int, across: bool) -> Way:
    """Resample from a grid so many times as coarse as the kept slices, by splines."""

    def resample(slices: Array, factor: int) -> Array:
        for axis in (0,) if across else (0, 1, 2):
            slices = np.moveaxis(slices, axis, 0)
            width, last = coarser * factor, len(slices) - 1
            thick = gaussian_filter1d(slices, _PROFILE * width, axis=0)
            places = np.linspace(0, last, max(round(last / width) + 1, degree + 1))
            coarse = make_interp_spline(np.arange(last + 1), thick, k=1)(places)
            slices = make_interp_spline(places, coarse, k=degree)(np.arange(last + 1))
            slices = np.moveaxis(slices, 0, axis)
        return slices

    return resample


def _noisy(slices: Array, _: int) -> Array:
    noise = np.random.default_rng(0).normal(size=slices.shape)
    noisy: Array = slices + _NOISE * np.percentile(slices, 99.5) * noise
    return noisy


WAYS: dict[str, Way] = {
    "as it is": lambda slices, _: slices,
    "noise of 3 %": _noisy,
    **{
        f"blurred, σ {sigma} voxels{where}": _blurred(sigma, bool(where))
        for sigma in (0.7, 1.0, 1.5, 2.0)
        for where in ("", ", across slices")
    },
    **{
        f"spline, grid of {coarser}{where}": _resampled(coarser, 3, bool(where))
        for coarser in (0.75, 1.5)
        for where in ("", ", across slices")
    },
    "linear, grid of 1.5, across slices": _resampled(1.5, 1, True),
}


def make_scans(design: Design, limit: int, done: set[str]) -> Iterator[tuple[str, Case]]:
    """Make every scan of a set in every way, in the dtype of its file, by name."""
    scans, _ = find_scans(design, "development", limit)
    for case, scan in scans.items():
        truth = read_raw_case(scan.raw, design.ingestion)
        axis = through_plane_axis(truth.image.affine, design.subsampling.axis)
        slices = _cube(slices_first(truth.image.stored, axis)).astype(np.float64)
        for way, make in WAYS.items():
            name = f"{design} / {case} / {way}"
            if name not in done:
                stored = to_dtype(make(slices, design.factor), truth.image.stored.dtype)
                image = truth.image.with_stored(np.ascontiguousarray(slices_back(stored, axis)))
                yield name, replace(truth, image=image, label=None)


def _cube(slices: Array) -> Array:
    for axis, size in enumerate(slices.shape):
        start = max(0, size - _CUBE) // 2
        slices = np.take(slices, range(start, min(start + _CUBE, size)), axis)
    return slices


def measure(truth: Case, design: Design) -> dict[str, float]:
    """PSNR in the body by every method, dB, and the share of cubic that was chosen."""
    params, acquired = design.imputation, subsample(truth, design.subsampling)
    alone = params.model_copy(update={"choose": False})
    network = learned_imputer("pretrained", load_pretrained(), params)
    imputers = {name: (classical_imputer(name, params), params) for name in ("cubic", "linear")}
    found: dict[str, float] = {}
    for name, (imputer, how) in {
        "chosen": (network, params),
        "network": (network, alone),
        **imputers,
    }.items():
        made = impute_case(acquired, imputer, how)
        slices = corresponding_slices(made.record)
        if slices is None:
            msg = (
                f"{design}: expected slices that were removed, got none; use a factor of 2 or more"
            )
            raise ValueError(msg)
        found[name] = score_imputed_case(made, truth, slices, design.evaluation)["psnr_body"]
        if name == "chosen":
            found["share"] = made.record["choice"]["cubic"]
    return found


def render(found: pd.DataFrame) -> str:
    """Tabulate what the choice gains: a row per way, and all that lose more than is allowed."""
    parts = found["scan"].str.split(" / ", expand=True)
    found = found.assign(set=parts[0], way=parts[2])
    found["classical"] = found["chosen"] - found[["cubic", "linear"]].max(axis=1)
    found["on network"] = found["chosen"] - found["network"]
    tables = [_table(found, "way"), _table(found, "set")]
    losers = found[found["classical"] < -ALLOWED]
    bar = (
        f"{len(losers)} of {len(found)} scans lose more than {ALLOWED} dB to the better of linear "
        f"and cubic interpolation."
    )
    named = [f"- {row.scan}: {row.classical:+.2f} dB" for row in losers.itertuples()]
    return "\n\n".join([*tables, bar, *(["\n".join(named)] if named else [])]) + "\n"


def _table(found: pd.DataFrame, by: str) -> str:
    """Gain of the choice on the better of linear and cubic, and on the network, mean (worst)."""
    groups = found.groupby(by, sort=False)
    table = pd.DataFrame({"scans": groups.size(), "share of cubic": groups["share"].mean()})
    table["share of cubic"] = table["share of cubic"].map("{:.2f}".format)
    for column, title in (("classical", "on the better classical, dB"), ("on network",) * 2):
        pairs = zip(groups[column].mean(), groups[column].min(), strict=True)
        table[title] = [f"{mean:+.2f} ({worst:+.2f})" for mean, worst in pairs]
    best = groups[["cubic", "linear"]].mean().idxmax(axis=1)
    table["better classical"] = best
    return str(table.reset_index().to_markdown(index=False, disable_numparse=True))


if __name__ == "__main__":
    main()
