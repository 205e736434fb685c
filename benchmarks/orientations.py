"""Dice of the multi-planar U-Net by the number of orientations that a prediction is averaged over.

    kedro run --env=hippocampus_isotropic --pipelines=comparison --params preset=multiplanar
    python benchmarks/orientations.py

Reads the networks of the finished comparison and segments its test cases again; Dice on the removed
slices, mean over objects, cases and subjects.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from slicefill.datasets.cases import CasesDataset
from slicefill.geometry import slices_first
from slicefill.io.checkpoints import read_checkpoint
from slicefill.metrics.overlap import dice
from slicefill.params import HardwareParams, InferenceParams
from slicefill.segmentation.opened import open_network
from slicefill.segmentation.scans import make_scan
from slicefill.types import Case

COUNTS = (1, 3, 6)
METHODS = ("linear", "pretrained")  # that impute; networks are named after them
_ROOT = Path(__file__).parents[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=_ROOT / "data")
    parser.add_argument("--experiment", default="hippocampus_isotropic")
    parser.add_argument("--design", default="S_x4", help="folder of axis and factor")
    parser.add_argument("--cases", type=int, help="at most; default: all")
    options = parser.parse_args()
    design = f"{options.experiment}/{options.design}"
    splits = pd.read_csv(options.data / f"02_intermediate/{options.experiment}/splits.csv")
    test = splits[splits["split"] == "test"].head(options.cases or len(splits))
    folders = {
        "isotropic": f"02_intermediate/{options.experiment}/cases",
        "acquired": f"03_primary/{design}/acquired",
        "imputed": f"07_model_output/{design}/imputed",
    }
    cases = {
        name: CasesDataset(path=str(options.data / path), made_by="comparison").load()
        for name, path in folders.items()
    }
    rows = []
    for method in METHODS:
        networks = options.data / f"06_models/{design}/segmentation/{method}"
        for path in sorted(networks.glob("multiplanar_[0-9].pt")):
            for case, subject in tqdm(test[["case", "subject"]].to_numpy(), desc=method):
                own = {"method": method, "seed": path.stem[-1], "subject": subject}
                pair = (cases["isotropic"][case], cases["acquired"][case])
                scored = score(path, *pair, cases["imputed"][f"{method}/{case}"])
                rows.append(own | scored)
    table = pd.DataFrame(rows).groupby(["method", "seed", "subject"]).mean()
    print((100 * table.groupby(["method", "seed"]).mean()).round(2).to_markdown())


def score(network: Path, isotropic, acquired, imputed) -> dict[str, float]:
    """Score one network on one case, by number of orientations."""
    checkpoint = read_checkpoint(network)
    truth, thick, grid = isotropic.make(), acquired.make(), imputed.make()
    kept = thick.record["kept"]
    scored = {}
    for count in COUNTS:
        changed = {**checkpoint, "design": {**checkpoint["design"], "orientations": count}}
        own = open_network(changed, InferenceParams(), HardwareParams(accelerator="cpu"))
        filled = Case(grid.image, None, grid.maps, grid.record)
        scan = make_scan(Case(thick.image), filled, None, own.scan)
        found = own.predictor(scan).argmax(0)
        real = slices_first(truth.label.stored, scan.axis)[: kept[-1] + 1]
        removed = ~np.isin(np.arange(len(real)), kept)
        ids = sorted(checkpoint["label_names"])[1:]
        pairs = [(found[removed] == k, real[removed] == i) for k, i in enumerate(ids, 1)]
        scored[f"K = {count}"] = float(np.nanmean([dice(*pair) for pair in pairs]))
    return scored


if __name__ == "__main__":
    main()
