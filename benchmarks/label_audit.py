"""How biased are synthetic labels, beside true ones that were damaged?

    SLICEFILL_DATA=~/data python benchmarks/label_audit.py --sets hippocampus --limit 12

Slices of *development* subjects are removed, and their labels imputed by every method; the damages
and strengths are those of `label_audit` in conf/base. Writes `label_audit.csv` (a row per case,
label, method or damage), `summary.csv` and the figure `label_audit.png`, and prints the means.
"""

import argparse
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from read_conf import read_parameters
from real_sets import FACTORS, Design, Scan, find_scans, load_design, read_pair, set_options

from slicefill.datasets.figures import to_png
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import load_named
from slicefill.metrics.label_audit import audit_case
from slicefill.params import LabelAuditParams
from slicefill.reporting.audit_tables import summarise_audit
from slicefill.reporting.figures import audit_plot
from slicefill.simulation.label_noise import EXCHANGE, exchange
from slicefill.types import Case, Promise

METHODS = ("nearest", "linear", "shape_based", "shape_matched", "pretrained")
_FACTOR = 4


def main(arguments: list[str] | None = None) -> None:
    """Audit every set that exists, print the means, write table and figure."""
    parser = set_options(__doc__, "label_audit")
    parser.add_argument("--methods", nargs="+", default=[*METHODS], help="(%(default)s)")
    options = parser.parse_args(arguments)
    for folder in (options.data / name for name in options.sets if _FACTOR in FACTORS[name]):
        if folder.is_dir():
            _audit(load_design(folder, _FACTOR), options)


def _audit(design: Design, options: argparse.Namespace) -> None:
    damages = read_parameters("base")["label_audit"]["damages"]
    names = design.evaluation.label_names
    params = LabelAuditParams(label_names=names, damages=damages, seed=0)
    scans, _ = find_scans(design, "development", options.limit)
    truths = {case: Promise(partial(_truth, scan, design), case) for case, scan in scans.items()}
    rows: list[dict[str, Any]] = []
    for case, scan in scans.items():
        imputed = _impute(scan, design, options.methods)
        others = _others(case, truths, params)
        found = audit_case(imputed, truths[case], others, params, case)
        rows += [{"case": case, "subject": scan.subject, **row} for row in found]
    out = options.out / str(design).replace(" ×", "_x")
    out.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    summary = summarise_audit(table)
    table.to_csv(out / "label_audit.csv", index=False)
    summary.to_csv(out / "summary.csv", index=False)
    (out / "label_audit.png").write_bytes(to_png(audit_plot(summary)))
    mean = summary[summary["label"] == "mean"].round(3)
    print(f"{design}\n{mean.to_markdown(index=False)}")


def _truth(scan: Scan, design: Design) -> Case:
    return read_pair(scan, design)[0]


def _impute(scan: Scan, design: Design, methods: list[str]) -> dict[str, Promise]:
    _, acquired = read_pair(scan, design)
    imputers = {name: load_named(name, design.imputation) for name in methods}
    made = {name: impute_case(acquired, own, design.imputation) for name, own in imputers.items()}
    return {name: Promise(partial(_same, case), name) for name, case in made.items()}


def _same(case: Case) -> Case:
    return case


def _others(
    case: str, truths: Mapping[str, Promise], params: LabelAuditParams
) -> dict[float, Promise]:
    return {
        share: truths[exchange([*truths], share, np.random.default_rng(params.seed))[case]]
        for share in params.damages.get(EXCHANGE, [])
    }


if __name__ == "__main__":
    main()
