"""Dice at the slices where an object begins or ends, of a finished comparison.

    kedro run --env=hippocampus_between_slices --pipelines=comparison
    python benchmarks/object_ends.py

Of every object and case: the first and the last acquired slice that truly show it, and the slices
beyond them. Differences are to the reference of the preset; with two or more seeds their intervals
are of subjects and trainings.
"""

import argparse
import json
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slicefill.metrics.intervals import Runs, estimate_crossed, interval_over_subjects
from slicefill.metrics.overlap import dice
from slicefill.params import StatisticsParams

_STATISTICS = StatisticsParams(bootstrap_samples=2000, confidence_level=0.95, seed=0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / "data")
    parser.add_argument("--experiment", default="hippocampus_between_slices")
    parser.add_argument("--design", default="S_x4", help="folder of axis and factor")
    parser.add_argument("--preset", default="between_slices")
    parser.add_argument("--reference", default="none_conresnet_baseline")
    options = parser.parse_args()
    design = Path(options.experiment) / options.design
    output = options.data / "07_model_output" / design
    acquired = options.data / "03_primary" / design / "acquired"
    index = pd.read_csv(output / f"predictions_{options.preset}.csv", dtype={"subject": str})
    index["ends"] = [
        ends_dice(output / "predictions" / row.prediction, acquired / row.case)
        for row in index.itertuples()
    ]
    print(_table(index, options.reference).to_markdown(index=False))


def ends_dice(prediction: Path, case: Path) -> float:
    """Mean over the objects of a case; nan where there is none.

    Args:
        prediction: Its folder, on the grid of the acquired slices.
        case: Folder of the acquired case.
    """
    record = json.loads((prediction / "record.json").read_text())
    axis = record["axis"]
    found = _slices(prediction / "prediction.nii.gz", axis)[record["acquired"]]
    truth = _slices(case / "label.nii.gz", axis)
    values = []
    for identity in (int(key) for key in record["label_names"] if int(key)):
        shown = np.flatnonzero((truth == identity).any((1, 2)))
        if len(shown):
            first, last = int(shown[0]), int(shown[-1])
            there = sorted({first - 1, first, last, last + 1} & set(range(len(truth))))
            values.append(dice(found[there] == identity, truth[there] == identity))
    return float(np.mean(values)) if values else float("nan")


@cache
def _slices(path: Path, axis: int) -> NDArray[np.int16]:
    return np.moveaxis(np.asarray(nib.load(path).dataobj).astype(np.int16), axis, 0)


def _table(index: pd.DataFrame, reference: str) -> pd.DataFrame:
    runs = {method: _runs(own) for method, own in index.groupby("method", sort=False)}
    rows = []
    for method, own in runs.items():
        row = {"method": method, "Dice % at the ends": f"{100 * np.nanmean(own):.1f}"}
        row["seeds"] = ", ".join(f"{100 * value:.1f}" for value in np.nanmean(own, axis=1))
        row["difference"] = "" if method == reference else _difference(own, runs[reference])
        rows.append(row)
    seeds, subjects = runs[reference].shape
    print(f"{subjects} subjects, {index['case'].nunique()} cases, {seeds} seeds\n")
    return pd.DataFrame(rows)


def _runs(own: pd.DataFrame) -> Runs:
    """Scores `(seeds, subjects)`: the mean over the cases of a subject."""
    return own.pivot_table(index="seed", columns="subject", values="ends").to_numpy()


def _difference(own: Runs, reference: Runs) -> str:
    if len(own) > 1:
        made = estimate_crossed([own, reference], _STATISTICS)
        value, low, high = made.value, made.low, made.high
    else:
        gains = (own - reference)[0]
        value, (low, high) = float(gains.mean()), interval_over_subjects(gains, _STATISTICS)
    return f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


if __name__ == "__main__":
    main()
