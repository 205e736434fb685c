"""How well confidence ranks and how right it is, by its evidence; calibrates the shipped weights.

    python benchmarks/confidence.py                       # procedural volumes, needs no data
    SLICEFILL_DATA=~/data python benchmarks/confidence.py --sets brain_t1 sts_ct
    python benchmarks/confidence.py --data ~/data --limit 4 --write

With data, the voxels of the body of *development* subjects are the known ones, ×2 and ×4; without,
those of procedural volumes. Every set (or half of the volumes) is judged by an error model that was
fitted without it. `--write` fits all sets and puts the result into the shipped model.json, which
then expects what real scans of the development half showed; the report half takes no part.

Prints the share of the best order's gain that each kind of confidence earns and by how much the
expected mean error is off, mean over scans; without data also the gain in PSNR by abstention.
"""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from learning import load_weights
from real_sets import FACTORS, Design, Scan, find_scans, load_design, read_pair

from slicefill.geometry import through_plane_axis
from slicefill.imputation.background import Background
from slicefill.imputation.dense_grid import channels_second, stack_case
from slicefill.imputation.methods import pretrained
from slicefill.imputation.methods.slice_imputation.infer import FlowImputer, load_flow_imputer
from slicefill.imputation.methods.slice_imputation.labels import LabelRule
from slicefill.imputation.uncertainty.calibration import (
    compare_known,
    compare_removed,
    fit_calibration,
)
from slicefill.imputation.uncertainty.confidence import ErrorModel, fit_error_model
from slicefill.imputation.uncertainty.evidence import METHODS
from slicefill.metrics.confidence import ConfidenceErrors, confidence_gain
from slicefill.metrics.real_channels import body_mask
from slicefill.params import CalibrationParams, HardwareParams, WindowParams
from slicefill.simulation.procedural import procedural_volume
from slicefill.training.hardware import launch_fabric

FIRST_SEED = 10**6  # far from the seeds of training
DRAWN = 20_000  # voxels of a set at a factor that are fitted, and of a scan that are judged
NEIGHBOURS = ("change", "bend", "noise", "texture")
EVIDENCE = ("apart", "predicted", "around", *NEIGHBOURS, "from_linear", "from_cubic")
_CONF = Path(__file__).parents[1] / "conf/base/parameters/pretraining.yml"


def main() -> None:
    """Measure, print tables, and calibrate if asked to."""
    options = _options()
    params = CalibrationParams(**yaml.safe_load(_CONF.read_text())["pretraining"]["confidence"])
    checkpoint = load_weights(options.checkpoint)
    imputer = load_flow_imputer(
        checkpoint,
        launch_fabric(HardwareParams(accelerator="auto", devices=1, precision="auto")),
        params.batch_pixels,
        LabelRule("one_hot"),
        ensemble=False,
    )
    found = _real(imputer, params, options) if options.data else _made(imputer, params, options)
    known = pd.concat(found, ignore_index=True)
    print(confidence_table(known, params).to_markdown(floatfmt=".3f"))
    if not options.data:
        print("\n" + abstention_table(known, params).to_markdown(index=False, floatfmt=".4f"))
    elif options.write:
        entry = fit_calibration(_drawn(known).drop(columns=["set", "factor", "scan"]), params)
        _put(entry, Path(pretrained.__file__).with_name("model.json"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, data = parser.add_argument, os.environ.get("SLICEFILL_DATA")
    add("--data", type=Path, default=data, help="(SLICEFILL_DATA, or none)")
    add("--sets", nargs="+", choices=FACTORS, default=[*FACTORS], help="(all)")
    add("--limit", type=int, default=4, help="subjects of each set (%(default)s)")
    add("--checkpoint", type=Path, help="(the shipped weights)")
    add("--write", action="store_true", help="put the calibration into the shipped model.json")
    add("--volumes", type=int, default=56, help="procedural ones (%(default)s)")
    add("--size", type=int, default=96, help="voxels a side (%(default)s)")
    return parser.parse_args()


def _put(calibration: dict[str, Any], file: Path) -> None:
    """Replace the calibration of the shipped weights; these stay as they are."""
    described = {**json.loads(file.read_text("utf-8")), "confidence": calibration}
    file.write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _made(
    imputer: FlowImputer, params: CalibrationParams, options: argparse.Namespace
) -> Iterator[pd.DataFrame]:
    """Voxels of procedural volumes, even ones a set and odd ones another; ×2 to ×8 in turn."""
    for number in range(options.volumes):
        volume = procedural_volume(FIRST_SEED + number, options.size, 0.3)
        known = compare_known(imputer, volume, 2 + number // 2 % 7, params.smoothing)
        known = known.sample(DRAWN, random_state=number)
        yield known.assign(set=("even", "odd")[number % 2], factor=0, scan=str(number))


def _real(
    imputer: FlowImputer, params: CalibrationParams, options: argparse.Namespace
) -> Iterator[pd.DataFrame]:
    """Voxels of the body of development subjects."""
    for name in options.sets:
        for factor in FACTORS[name]:
            design = load_design(options.data / name, factor)
            scans, _ = find_scans(design, "development", options.limit)
            for case, scan in scans.items():
                known = _compare(scan, design, imputer, params.smoothing)
                some = known.sample(min(DRAWN, len(known)), random_state=0)
                yield some.assign(set=name, factor=factor, scan=case)


def _compare(scan: Scan, design: Design, imputer: FlowImputer, smoothing: int) -> pd.DataFrame:
    """Evidence and errors of the synthetic voxels of the body that hold no constant background."""
    truth, acquired = read_pair(scan, design)
    axis = through_plane_axis(acquired.image.affine, design.imputation.through_plane)
    stack = stack_case(acquired, axis, WindowParams(kind="percentile", low=0.5, high=99.5))
    held = Background.of(channels_second(acquired.image, axis), stack.padding).held
    real = channels_second(truth.image, axis)
    body = body_mask(real[:, 0], np.arange(len(real)), design.evaluation.body_quantile)
    removed = np.where(body[:, None], real, np.nan)[: len(held) * design.factor]
    removed = removed.reshape(len(held), design.factor, *held.shape[1:])[:, 1:]
    removed = np.where(held[:, None], np.nan, removed).astype(np.float32)
    return pd.concat(rows.dropna() for rows in compare_removed(imputer, stack, removed, smoothing))


def _drawn(known: pd.DataFrame) -> pd.DataFrame:
    """As many voxels of every set and factor, however many scans it has."""
    return pd.concat(
        group.sample(DRAWN, replace=len(group) < DRAWN, random_state=0)
        for _, group in known.groupby(["set", "factor"])
    )


def confidence_table(known: pd.DataFrame, params: CalibrationParams) -> pd.DataFrame:
    """Tabulate the gain that each kind of confidence earns, and the error of its mean."""
    expected: dict[str, Any] = {"agreement": known["apart"], "change": known["change"]}
    everything = _fit(_drawn(known), "model", params)
    expected["fitted"] = _expect(everything, known)
    expected["fitted elsewhere"] = pd.Series(0.0, known.index)
    for name, own in known.groupby("set"):
        others = known[known["set"] != name]
        if len(others):
            model = _fit(_drawn(others), "model", params)
            expected["fitted elsewhere"][own.index] = _expect(model, own)
    rows = []
    for (name, factor, _), scan in known.groupby(["set", "factor", "scan"]):
        error = scan["error_model"].to_numpy()
        row: dict[str, Any] = {"set": name, "factor": factor, "error": error.mean()}
        for kind, values in expected.items():
            own = values[scan.index].to_numpy()
            row[f"gain, {kind}"] = confidence_gain(ConfidenceErrors(-own, error, error))
            if kind.startswith("fitted"):
                row[f"off, {kind}"] = own.mean() - error.mean()
        rows.append(row)
    return pd.DataFrame(rows).groupby(["set", "factor"]).mean()


def abstention_table(known: pd.DataFrame, params: CalibrationParams) -> pd.DataFrame:
    """Tabulate the gain in PSNR by abstention on odd volumes; even ones are fitted."""
    fitted, held_out = known[known["set"] == "even"], known[known["set"] == "odd"]
    expected = np.stack([_expect(_fit(fitted, n, params), held_out) for n in METHODS], 1)
    errors = held_out[[f"error_{name}" for name in METHODS]].to_numpy(np.float64)
    best = 1 + expected[:, 1:].argmin(1)
    least = expected[:, 1:].min(1)
    before = _psnr(errors[:, 0], held_out)
    rows = []
    for threshold in (1.0, 0.97, 0.95, 0.9):
        for margin in (1.0, 0.9, 0.8, 0.7):
            yields = (expected[:, 0] > 1 - threshold) & (least < margin * expected[:, 0])
            kept = np.where(yields, errors[np.arange(len(best)), best], errors[:, 0])
            gain = _psnr(kept, held_out) - before
            rows.append((threshold, margin, yields.mean(), gain.mean(), gain.min()))
    return pd.DataFrame(rows, columns=["threshold", "margin", "abstained", "gain, dB", "worst, dB"])


def _fit(known: pd.DataFrame, method: str, params: CalibrationParams) -> ErrorModel:
    """Fit without the cycle error, which is not measured by default."""
    features = {name: known[name].to_numpy(np.float64) for name in EVIDENCE}
    return fit_error_model(features, known[f"error_{method}"].to_numpy(np.float64), params.knots)


def _expect(model: ErrorModel, known: pd.DataFrame) -> pd.Series:
    asked = {name: torch.from_numpy(known[name].to_numpy(np.float64)) for name in EVIDENCE}
    return pd.Series(model.expect(asked).numpy(), known.index)


def _psnr(errors: np.ndarray, held_out: pd.DataFrame) -> pd.Series:
    """PSNR of every volume, dB."""
    squares = pd.Series(np.square(errors)).groupby(held_out["scan"].to_numpy()).mean()
    return -10 * np.log10(squares)


if __name__ == "__main__":
    main()
