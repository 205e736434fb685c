"""What sharper slices cost: the method `sharp` beside the image that it sharpens.

    SLICEFILL_DATA=~/data python benchmarks/sharpness.py --half development --limit 6

Scans of each set lose slices, are imputed and compared with the originals. Columns: PSNR and SSIM
of synthetic slices in the body; gradient energy of synthetic slices along rows and columns over
that of the real ones (sharpness in plane, 1 is best); energy of detail of synthetic over acquired
slices (`alternation`, 1 is best); gradient energy across slices over the real one (1 is best); mean
SSIM of adjacent slices minus that of the real volume (0 is best). Means over subjects; the gain
over the base is paired by subject, with its smallest and greatest.
"""

import argparse
from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd
from real_sets import FACTORS, Design, find_scans, load_design, read_pair, set_options

from slicefill.geometry import slices_first
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import load_named
from slicefill.metrics.image import ssim_map
from slicefill.metrics.scoring import Correspondence, corresponding_slices, score_imputed_case
from slicefill.types import Case

BASE = "pretrained"
METHODS: dict[str, Any] = {
    BASE: BASE,
    "sharp 0.04": {"kind": "sharp", "most_loss": 0.04},
    "sharp": "sharp",
    "sharp 0.15": {"kind": "sharp", "most_loss": 0.15},
    "dis": {"kind": "dis"},
    "sharp dis": {"kind": "sharp", "base": {"kind": "dis"}},
}
SHOWN = {
    "psnr_body": "PSNR, dB",
    "ssim_body": "SSIM",
    "sharpness": "in-plane gradients",
    "alternation": "alternation",
    "gradient_ratio": "gradients across slices",
    "adjacent": "adjacent SSIM, excess",
}


def main(arguments: list[str] | None = None) -> None:
    """Measure every set that exists and write the tables."""
    parser = set_options(__doc__, "sharpness")
    parser.add_argument("--half", choices=["development", "report"], default="development")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS], help="(all)")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    parts = []
    for name in options.sets:
        for factor in FACTORS[name] if (options.data / name).is_dir() else ():
            design = load_design(options.data / name, factor)
            scores = measure(design, options)
            scores.to_csv(options.out / f"{name}_x{factor}.csv", index=False)
            parts.append(render(str(design), scores))
            print(parts[-1], flush=True)
    (options.out / "tables.md").write_text("\n".join(parts))


def measure(design: Design, options: argparse.Namespace) -> pd.DataFrame:
    """Score every method on every scan: columns `subject`, `method` and the metrics."""
    scans, _ = find_scans(design, options.half, options.limit)
    imputers = {name: load_named(METHODS[name], design.imputation) for name in options.methods}
    rows = []
    for scan in scans.values():
        truth, acquired = read_pair(scan, design)
        for name, imputer in imputers.items():
            imputed = impute_case(acquired, imputer, design.imputation)
            slices = corresponding_slices(imputed.record)
            scores = score_imputed_case(imputed, truth, slices, design.evaluation)
            scores["adjacent"] = adjacent_excess(imputed, truth, slices)
            along = [scores[f"{axis}_gradient_ratio"] for axis in ("row", "column")]
            scores["sharpness"] = float(np.mean(along))
            rows.append({"subject": scan.subject, "method": name, **scores})
    return pd.DataFrame(rows)


def adjacent_excess(imputed: Case, truth: Case, slices: Correspondence) -> float:
    """Mean SSIM of adjacent slices, less that of the real volume."""
    volume, made = (
        slices_first(each.image.intensities(), slices.axis) for each in (truth, imputed)
    )
    real, found = volume[slices.truth], made[slices.imputed]
    width = float(np.percentile(real, 99.9) - real.min())
    means = [float(ssim_map(each[:-1], each[1:], width).mean()) for each in (found, real)]
    return means[0] - means[1]


def render(title: str, scores: pd.DataFrame) -> str:
    """Write the table of a set: a row per method, with the paired change of PSNR."""
    table = scores.groupby(["method", "subject"])[[*SHOWN]].mean()
    columns: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(scores["method"]):
        own = table.loc[name]
        base = "dis" if name.endswith(" dis") else BASE
        change = own["psnr_body"] - table.loc[base]["psnr_body"]
        columns["method"].append(name)
        for metric, head in SHOWN.items():
            columns[head].append(f"{own[metric].mean():.{2 if metric == 'psnr_body' else 3}f}")
        columns["change of PSNR"].append(
            f"{change.mean():+.2f} ({change.min():+.2f} to {change.max():+.2f})"
        )
    count = scores["subject"].nunique()
    return f"## {title}, n = {count}\n\n{pd.DataFrame(columns).to_markdown(index=False)}\n"


if __name__ == "__main__":
    main()
