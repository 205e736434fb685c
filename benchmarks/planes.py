"""Does an engine learn at all? Few subjects, few steps, the true volume, all labels.

    SLICEFILL_RAW=…/hippocampus python benchmarks/planes.py --engine multiplanar_synthetic
    SLICEFILL_RAW=…/hippocampus python benchmarks/planes.py --engine unet2d

One case of each of the first subjects of the development half; the network is that of the epoch
with the best Dice on the first of the held-out cases. A check of an engine, no result.
"""

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import yaml
from read_conf import short_setting

from slicefill.geometry import slices_first
from slicefill.metrics.overlap import dice
from slicefill.segmentation.engines import find_engine
from slicefill.segmentation.interface import SegmentationData, Setting
from slicefill.segmentation.scans import Scan, ScanPromise
from slicefill.training.fit import Run, Stateless
from slicefill.types import Lazy

_HALVES = Path(__file__).with_name("halves.yml")
_WINDOW = (0.5, 99.5)  # percentiles


def main() -> None:
    """Print Dice of both parts, of the whole, and the share of voxels taken for the other part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="multiplanar_synthetic")
    parser.add_argument("--roll", default="none", choices=("none", "any"))
    parser.add_argument("--training", type=int, default=8)
    parser.add_argument("--held-out", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=4, help="of 50 steps")
    options = parser.parse_args()
    scans = read_scans(options.training + options.held_out)
    names = sorted(scans)
    training, held_out = names[: options.training], names[options.training :]
    setting = make_setting(options.epochs, options.roll)
    system = find_engine(options.engine, setting.params)
    data = SegmentationData(
        {name: scans[name] for name in training}, {held_out[0]: scans[held_out[0]]}, (0, 1, 2)
    )
    run = Run(Stateless(), lambda values, epoch: print(epoch, values))
    made = system.module.train(data, system.params, setting, run)
    predict = system.module.load(made, setting.params)
    rows = [score(predict(scans[name].make()).argmax(0), scans[name].make()) for name in held_out]
    print("anterior, posterior, whole, wrong part:", np.mean(rows, axis=0).round(3).tolist())


def read_scans(count: int) -> dict[str, ScanPromise]:
    """Read the true volumes, slices along S."""
    raw = Path(os.environ["SLICEFILL_RAW"])
    halves = yaml.safe_load(_HALVES.read_text())
    found = [
        sorted(raw.glob(f"imagesTr/hippocampus_{int(subject):03d}.nii*"))
        for subject in halves["hippocampus"]["development"]
    ]
    files = [some[0] for some in found if some][:count]
    return {file.name: Lazy(partial(read_scan, file), file.name) for file in files}


def read_scan(file: Path) -> Scan:
    """Read image and label map of a case."""
    image, label = (
        nib.as_closest_canonical(nib.load(path))
        for path in (file, file.parents[1] / "labelsTr" / file.name)
    )
    shown = slices_first(image.get_fdata(), 2)
    low, high = np.percentile(shown, _WINDOW)
    shown = np.clip((shown - low) / (high - low), 0, 1)[:, None].astype(np.float32)
    ids = slices_first(np.asarray(label.dataobj), 2).astype(np.int64)
    weight, acquired = np.ones(ids.shape, np.float32), np.ones(len(ids), bool)
    return Scan(shown, ids, weight, acquired, np.ones(3), 2)


def make_setting(epochs: int, roll: str) -> Setting:
    """Reduce the entries of conf/base."""
    planes = {"width": 8, "roll": roll}
    return short_setting(
        {1: "anterior", 2: "posterior"},
        {
            "multiplanar": planes,
            "multiplanar_synthetic": planes,
            "unet2d": {"width": 8, "patch": [48, 64]},
        },
        optimisation={"batch": 8, "epochs": epochs, "steps_per_epoch": 50},
        hardware={"accelerator": "cpu", "devices": 1, "precision": "32-true"},
    )


def score(found: np.ndarray, scan: Scan) -> Sequence[float]:
    """Dice of both parts and of the whole; the share of common voxels that are taken wrongly."""
    truth, both = scan.label, (found > 0) & (scan.label > 0)
    parts = [dice(found == part, truth == part) for part in (1, 2)]
    return [*parts, dice(found > 0, truth > 0), float((found != truth)[both].mean())]


if __name__ == "__main__":
    main()
