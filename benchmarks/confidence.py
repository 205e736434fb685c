"""Value of each piece of evidence, and gain of abstention, on procedural volumes.

    python benchmarks/confidence.py                       # the shipped weights
    python benchmarks/confidence.py --checkpoint mine.pt

Half of the volumes calibrate the error model; the other half measure the rank correlation of the
expected with the true error (mean over volumes, and over all voxels), the difference between the
expected and the true mean error of a volume, and the gain in PSNR by abstention at several
thresholds and margins. No real scan takes part.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from learning import load_weights
from scipy.stats import spearmanr

from slicefill.imputation.methods.slice_imputation.infer import FlowImputer, load_flow_imputer
from slicefill.imputation.methods.slice_imputation.labels import LabelRule
from slicefill.imputation.uncertainty.calibration import compare_known
from slicefill.imputation.uncertainty.confidence import fit_error_model
from slicefill.imputation.uncertainty.evidence import METHODS
from slicefill.params import HardwareParams
from slicefill.simulation.procedural import procedural_volume
from slicefill.training.hardware import launch_fabric

FIRST_SEED = 10**6  # far from the seeds of training
EVIDENCE = ("apart", "predicted", "cycle", "change", "bend", "noise", "from_linear", "from_cubic")
SETS = {
    "all": EVIDENCE,
    **{f"without {name}": tuple(e for e in EVIDENCE if e != name) for name in EVIDENCE},
    **{f"{name} alone": (name,) for name in ("apart", "predicted", "cycle")},
}


def main() -> None:
    """Measure, and print two tables."""
    options = _options()
    known = _measure(options)
    fitted, held_out = known[known["volume"] % 2 == 0], known[known["volume"] % 2 == 1]
    print(evidence_table(fitted, held_out).to_markdown(index=False, floatfmt=".4f"))
    print()
    print(abstention_table(fitted, held_out).to_markdown(index=False, floatfmt=".4f"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, help="(the shipped weights)")
    parser.add_argument("--volumes", type=int, default=56, help="(%(default)s)")
    parser.add_argument("--size", type=int, default=96, help="voxels a side (%(default)s)")
    parser.add_argument("--smoothing", type=int, default=1, help="pixels (%(default)s)")
    return parser.parse_args()


def _imputer(file: Path | None) -> FlowImputer:
    hardware = HardwareParams(accelerator="auto", devices=1, precision="auto")
    return load_flow_imputer(
        load_weights(file), launch_fabric(hardware), 2**19, LabelRule("one_hot"), ensemble=False
    )


def _measure(options: argparse.Namespace) -> pd.DataFrame:
    """Evidence and errors of voxels drawn from every volume; factors ×2 to ×8 in turn."""
    imputer, rng = _imputer(options.checkpoint), np.random.default_rng(0)
    tables = []
    for number in range(options.volumes):
        volume = procedural_volume(FIRST_SEED + number, options.size, 0.3)
        interval = 2 + number // 2 % 7
        known = compare_known(imputer, volume, interval, options.smoothing)
        drawn = known.iloc[rng.integers(0, len(known), 30_000)]
        tables.append(drawn.assign(volume=number, interval=interval))
    return pd.concat(tables)


def evidence_table(fitted: pd.DataFrame, held_out: pd.DataFrame) -> pd.DataFrame:
    """Tabulate how well each set of evidence predicts the error of the model."""
    rows = []
    for name, evidence in SETS.items():
        expected = _expect(fitted, held_out, "model", [e for e in evidence if e in held_out])
        table = held_out.assign(expected=expected)
        volumes = table.groupby("volume")
        ranks = volumes.apply(lambda v: spearmanr(v["expected"], v["error_model"]).statistic)
        means = volumes[["expected", "error_model"]].mean()
        overall = spearmanr(expected, held_out["error_model"]).statistic
        off = (means["expected"] - means["error_model"]).abs().mean()
        rows.append((name, ranks.mean(), overall, off))
    columns = ["evidence", "rank, within volumes", "rank, over all", "off by, per volume"]
    return pd.DataFrame(rows, columns=columns)


def abstention_table(fitted: pd.DataFrame, held_out: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the gain in PSNR by abstention, without the cycle error, as by default."""
    evidence = [e for e in EVIDENCE if e in held_out and e != "cycle"]
    expected = np.stack([_expect(fitted, held_out, name, evidence) for name in METHODS], 1)
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


def _expect(
    fitted: pd.DataFrame, held_out: pd.DataFrame, method: str, evidence: list[str]
) -> np.ndarray:
    features = {name: fitted[name].to_numpy(np.float64) for name in evidence}
    model = fit_error_model(features, fitted[f"error_{method}"].to_numpy(np.float64), 32)
    asked = {name: torch.from_numpy(held_out[name].to_numpy(np.float64)) for name in evidence}
    return model.expect(asked).numpy()


def _psnr(errors: np.ndarray, held_out: pd.DataFrame) -> pd.Series:
    """PSNR of every volume, dB."""
    squares = pd.Series(np.square(errors)).groupby(held_out["volume"].to_numpy()).mean()
    return -10 * np.log10(squares)


if __name__ == "__main__":
    main()
