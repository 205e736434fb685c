"""Gain of synthetic slices for a 2D U-Net: few training cases, a smaller fraction, more steps.

    python benchmarks/synthetic_slices.py --cases 12 --shares 0.25 0.75 --seeds 2

Needs a finished `kedro run --env=hippocampus --pipelines=comparison` (its imputed cases). Trains on
the first training subjects and scores **validation** subjects on acquired slices, so that the
result may be used to choose settings.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from read_conf import read_parameters
from tqdm.auto import tqdm

from slicefill.datasets.cases import CasesDataset
from slicefill.metrics.overlap import dice, volume_difference
from slicefill.params import AugmentationParams, ComparisonParams, SegmentationParams
from slicefill.pipelines.augmentation.nodes import assemble_scans, list_slices
from slicefill.segmentation.engines import find_engine
from slicefill.segmentation.interface import SegmentationData, Setting
from slicefill.segmentation.prediction import make_predictor
from slicefill.segmentation.scans import ScanSet
from slicefill.training.fit import Run, Stateless, ignore

_ROOT = Path(__file__).parents[1]


def main() -> None:
    """Train the grid and print a table."""
    options = _options()
    values = read_parameters(options.env)
    segmentation = SegmentationParams(**values["segmentation"])
    optimisation = segmentation.optimisation.model_copy(update={"epochs": options.epochs})
    segmentation = segmentation.model_copy(update={"optimisation": optimisation})
    rows = []
    grid = list(product(options.methods, options.shares, range(options.seeds)))
    for method, share, seed in tqdm(grid, desc="networks"):
        if method == "none" and share != options.shares[0]:
            continue  # no synthetic slices
        augmentation = AugmentationParams(**{**values["augmentation"], "synthetic_fraction": share})
        scans = _scans(method, values["comparison"], augmentation, options)
        setting = Setting(segmentation, augmentation, seed)
        rows.append({"method": method, "share": share, **_score(scans, setting)})
    print(_table(pd.DataFrame(rows), options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default="hippocampus")
    parser.add_argument("--methods", nargs="+", default=["none", "linear", "slice_imputation"])
    parser.add_argument(
        "--shares", nargs="+", type=float, default=[0.75], help="of synthetic slices among drawn"
    )
    parser.add_argument("--cases", type=int, default=12, help="training cases")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8, help="of steps_per_epoch steps")
    parser.add_argument("--design", default="S_x4", help="folder of axis and factor")
    return parser.parse_args()


def _scans(
    method: str, values: dict, augmentation: AugmentationParams, options: argparse.Namespace
) -> ScanSet:
    """Assemble the scans of some training cases and of all validation cases."""
    splits = pd.read_csv(_ROOT / f"data/02_intermediate/{options.env}/splits.csv")
    training = splits[splits["split"] == "train"].head(options.cases)
    chosen = pd.concat([training, splits[splits["split"] == "validation"]])
    design = f"{options.env}/{options.design}"
    acquired_case, imputed = (
        CasesDataset(path=str(_ROOT / "data" / path), made_by="comparison").load()
        for path in (f"03_primary/{design}/acquired", f"07_model_output/{design}/imputed")
    )
    preset = {"title": "", "engine": "unet2d", "methods": [method], "reference": method}
    comparison = ComparisonParams(preset="one", presets={"one": preset}, methods=values["methods"])
    manifest = list_slices(acquired_case, imputed, chosen, augmentation, comparison)
    return assemble_scans(manifest, acquired_case, imputed, augmentation)[method]


def _score(scans: ScanSet, setting: Setting) -> dict[str, float]:
    """Train one network; return mean Dice and signed RAVD over validation cases and classes."""
    ids = tuple(sorted(setting.params.label_names))
    data = SegmentationData(scans.training, scans.validation, ids)
    run = Run(Stateless(), ignore)
    engine = find_engine("unet2d", setting.params)
    trained = engine.module.train(data, engine.params, setting, run)
    predict = make_predictor(engine.module, trained, setting.params)
    scores = []
    for promise in scans.validation.values():
        scan = promise.make()
        found, truth = predict(scan).argmax(0)[scan.acquired], scan.label[scan.acquired]
        for index, identity in enumerate(ids[1:], 1):
            pair = found == index, truth == identity
            scores.append((dice(*pair), volume_difference(*pair)))
    mean = np.nanmean(scores, axis=0)
    return {"dice": float(mean[0]), "ravd": float(mean[1])}


def _table(rows: pd.DataFrame, options: argparse.Namespace) -> str:
    grouped = rows.groupby(["method", "share"], sort=False)
    table = grouped[["dice", "ravd"]].agg(["mean", "min", "max"]).round(4)
    table.columns = [" ".join(pair) for pair in table.columns]
    title = f"{options.cases} training cases, {options.epochs} epochs, {options.seeds} seeds"
    return f"{title}\n\n{table.reset_index().to_markdown(index=False)}"


if __name__ == "__main__":
    main()
