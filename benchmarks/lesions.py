"""Are small objects found? Patches anywhere, centred on objects, or as for lesions; on phantoms.

    python benchmarks/lesions.py

Bright spots of 4 to 6 voxels lie among tubes of the same brightness: less than a thousandth of each
phantom. Three ways to draw the patches of `dynunet3d`, with as many patches each: anywhere
(`uniform`), a third on objects (`usual`), and a third on lesions, a third on bright voxels apart
from each other, warped, with windows put together by their centres (`lesions`). Prints lesions
found at one false positive per scan at most, and the mean over 1/8 to 8 (FROC), on 12 test
phantoms: mean, least and greatest of the seeds, and the change against `usual`, seed by seed. Under
ten minutes on one core.
"""

import argparse
from functools import partial

import numpy as np
import pandas as pd
import yaml
from scipy.ndimage import distance_transform_edt, gaussian_filter

from slicefill.metrics.lesions import froc, froc_score
from slicefill.params import AugmentationParams, SegmentationParams
from slicefill.segmentation.engines import find_engine
from slicefill.segmentation.interface import SegmentationData, Setting
from slicefill.segmentation.prediction import make_predictor
from slicefill.segmentation.scans import Scan, ScanPromise
from slicefill.training.fit import Run, Stateless, ignore

SIZE = (48, 64, 64)
RATES = (0.125, 0.25, 0.5, 1, 2, 4, 8)
THRESHOLDS = [*np.linspace(0.02, 0.98, 25).tolist(), 0.995, 0.999]
SETTINGS = """
uniform: {share: 0.0}
usual: {share: 0.33}
lesions:
  share: 0.33
  lesions: {hard_fraction: 0.5, hard: bright, negatives: 50, distance: 10}
  stitching: centre
  transforms: [{kind: spline_warp, probability: 0.8, displacement: [0.2, 0.2, 0.2]}]
"""
FLIPS = {
    "kind": "geometric",
    "probability": 0.0,
    "flip": True,
    "rotation": 0,
    "scaling": 0,
    "elastic": 0,
}


def phantom(seed: int) -> Scan:
    """Make tubes and one to three spots, textured; intensities in [0, 1]."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.indices(SIZE), -1).astype(float)
    bright = np.zeros(SIZE, bool)
    for _ in range(6):
        line = np.ones(SIZE, bool)
        start, way = rng.uniform(0, 1, 3) * SIZE, rng.normal(size=3)
        for step in np.linspace(-80, 80, 400):
            place = start + way / np.linalg.norm(way) * step + 3 * np.sin(step / 9 + start)
            index = tuple(np.rint(place).astype(int))
            if all(0 <= i < n for i, n in zip(index, SIZE, strict=True)):
                line[index] = False
        bright |= distance_transform_edt(line) <= rng.uniform(1.2, 2.2)
    label = np.zeros(SIZE, np.int64)
    for _ in range(int(rng.integers(1, 4))):
        centre = np.array([rng.integers(5, n - 5) for n in SIZE])
        label[np.linalg.norm(grid - centre, axis=-1) <= rng.uniform(2, 3)] = 1
    image = 0.3 + 0.45 * gaussian_filter((bright | (label > 0)).astype(float), 0.5)
    image += 0.06 * gaussian_filter(rng.normal(size=SIZE), 0.6)
    shown = np.clip(image, 0, 1).astype(np.float32)[:, None]
    everywhere = np.ones(SIZE, np.float32)
    return Scan(shown, label, everywhere, np.ones(SIZE[0], bool), np.ones(3), 0)


def main() -> None:
    """Train every way with every seed, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=80, help="of each training (%(default)s)")
    parser.add_argument("--width", type=int, default=8)
    options = parser.parse_args()
    rows = []
    for seed in range(options.seeds):
        for name, own in yaml.safe_load(SETTINGS).items():
            rows.append({"patches": name, "seed": seed, **_score(own, seed, options)})
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows).set_index(["patches", "seed"])
    print(_spread(table).to_markdown())
    print(_spread(table.sub(table.loc["usual"], level="seed")).to_markdown())


def _spread(table: pd.DataFrame) -> pd.DataFrame:
    return table.groupby("patches", sort=False).agg(["mean", "min", "max"]).round(3)


def _score(own: dict, seed: int, options: argparse.Namespace) -> dict[str, float]:
    training, validation, test = (
        _promise(range(a, b)) for a, b in ((0, 12), (100, 104), (200, 212))
    )
    params, augmentation = _params(own, options)
    engine = find_engine("net", params)
    data = SegmentationData(training, validation, (0, 1))
    setting = Setting(params, augmentation, seed)
    made = engine.module.train(data, engine.params, setting, Run(Stateless(), ignore))
    predictor = make_predictor(engine.module, made, params)
    scans = [(predictor(one)[1], one.label == 1) for one in (p.make() for p in test.values())]
    points = froc(scans, THRESHOLDS)
    return {"at_1": froc_score(points, [1]), "froc": froc_score(points, RATES)}


def _params(
    own: dict, options: argparse.Namespace
) -> tuple[SegmentationParams, AugmentationParams]:
    engine = {"kind": "dynunet3d", "width": options.width, "widest": 4 * options.width}
    engine |= {"patch": [24, 24, 24], "deep_supervision": False}
    optimisation = {
        "learning_rate": 0.05,
        "momentum": 0.9,
        "weight_decay": 3e-5,
        "power": 0.9,
        "gradient_clip": 12.0,
        "batch": 6,
        "epochs": 4,
        "steps_per_epoch": options.steps // 4,
        "patience": 10,
        "foreground_fraction": own["share"],
        "lesions": own.get("lesions"),
        "cache_gb": 1.0,
    }
    inference = {"overlap": 0.34, "batch": 8, "stitching": own.get("stitching", "gaussian")}
    params = SegmentationParams(
        label_names={0: "background", 1: "spot"},
        seeds=[0],
        engines={"net": engine},
        optimisation=optimisation,
        inference=inference,
        hardware={"accelerator": "cpu", "precision": "32-true"},
    )
    transforms = [*own.get("transforms", []), FLIPS]
    augmentation = AugmentationParams(
        synthetic_weight=1,
        synthetic_fraction=None,
        through_plane="S",
        window=None,
        transforms=transforms,
    )
    return params, augmentation


def _promise(seeds: range) -> dict[str, ScanPromise]:
    return {f"p{seed}": ScanPromise(partial(phantom, seed), str(seed)) for seed in seeds}


if __name__ == "__main__":
    main()
