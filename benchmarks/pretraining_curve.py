"""Quality of a training that is still running, on real scans of the development half.

    python benchmarks/pretraining_curve.py --state last/reformatted.pt --out curve.jsonl
    python benchmarks/pretraining_curve.py ... --every 30      # again and again, minutes

Reads the state that the training saves after every epoch, imputes the first scans of each set by
the running mean of its weights, and appends a line of JSON: epoch, steps, and
the PSNR in the body (dB) per set and factor. Images alone; network alone. The methods named by
`--methods` are scored once, on the same scans, as lines of their own.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from read_conf import read_parameters
from real_sets import Design, find_scans, load_design, read_pair

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import Imputer, learned_imputer, load_named
from slicefill.imputation.methods.reformatted.params import ReformattedParams
from slicefill.imputation.methods.reformatted.training import make_checkpoint
from slicefill.io.checkpoints import read_checkpoint
from slicefill.io.storage import location
from slicefill.metrics.scoring import corresponding_slices, score_imputed_case
from slicefill.params import ImputationParams
from slicefill.types import Case, Checkpoint

SCANS = {
    ("sts_ct", 2): 1,
    ("sts_ct", 4): 2,
    ("hippocampus", 2): 3,
    ("hippocampus", 4): 4,
    ("brain_t1", 2): 1,
    ("brain_t1", 4): 1,
    ("mouse_brain", 2): 1,
    ("mouse_brain", 4): 1,
    ("cine_sax", 2): 1,
}
"""Subjects of each set and factor: few, so that the curve costs little beside the training."""


def main() -> None:
    """Score, and go on as often as asked."""
    options = _options()
    designs = {key: load_design(options.data / key[0], key[1]) for key in SCANS}
    for name in options.methods:
        _append(options.out, {"method": name, **_scores(designs, options, name)})
    epoch = -1
    while options.state:
        checkpoint = trained_so_far(options.state)
        if checkpoint is not None and checkpoint["epoch"] > epoch:
            epoch = checkpoint["epoch"]
            known = {name: checkpoint[name] for name in ("epoch", "steps")}
            made = {name: round(value, 3) for name, value in checkpoint["validation"].items()}
            _append(options.out, {**known, "made": made, **_scores(designs, options, checkpoint)})
        if not options.every:
            break
        time.sleep(60 * options.every)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, data = parser.add_argument, os.environ.get("SLICEFILL_DATA")
    add("--data", type=Path, default=data, required=data is None, help="(SLICEFILL_DATA)")
    add("--state", type=Path, help="of the training: 06_models/…/last/reformatted.pt")
    add("--out", type=Path, required=True, help="file of JSON lines, appended to")
    add("--every", type=float, help="minutes between looks at the state; absent: one look")
    add("--methods", nargs="*", default=[], help="scored once: pretrained, linear, dis, …")
    add("--sets", nargs="*", default=[], help="such as sts_ct:4 (all)")
    return parser.parse_args()


def trained_so_far(state_file: Path) -> Checkpoint | None:
    """Make a checkpoint of the last epoch of a training, or None if there is none yet."""
    try:
        state = read_checkpoint(location(str(state_file)))
    except FileNotFoundError:
        return None
    mean = state["learner"]["mean"]
    weights = {n.removeprefix("module."): w for n, w in mean.items() if n.startswith("module.")}
    last = [row for row in state["history"] if row["epoch"] == state["epoch"]]
    values = {row["term"]: row["value"] for row in last if row["term"].startswith("validation/")}
    best = {"weights": weights, "epoch": state["epoch"], "values": values}
    made = make_checkpoint(best, [], _params(), state["fingerprint"])
    return {**made, "steps": state["learner"]["step"], "validation": values}


def _params() -> ReformattedParams:
    return ReformattedParams.model_validate(read_parameters("pretraining_planes")["reformatted"])


def _scores(
    designs: dict[tuple[str, int], Design], options: argparse.Namespace, model: str | Checkpoint
) -> dict[str, float]:
    """Mean PSNR by set and factor, and the seconds that it took."""
    began, found = time.process_time(), {}
    for (name, factor), design in designs.items():
        if options.sets and f"{name}:{factor}" not in options.sets:
            continue
        params = design.imputation.model_copy(update={"choose": False})
        imputer = (
            _named(model, params)
            if isinstance(model, str)
            else learned_imputer("reformatted", model, params)
        )
        values = [_psnr(*pair, imputer, design, params) for pair in _pairs(design)]
        found[f"{name}_x{factor}"] = round(float(np.mean(values)), 3)
    return {**found, "seconds": round(time.process_time() - began)}


def _named(name: str, params: ImputationParams) -> Imputer:
    return load_named({"kind": name} if name in ("dis", "demons") else name, params)


def _pairs(design: Design) -> Iterator[tuple[Case, Case]]:
    scans, _ = find_scans(design, "development", SCANS[design.name, design.factor])
    for scan in list(scans.values())[: SCANS[design.name, design.factor]]:
        truth, acquired = read_pair(scan, design)
        yield truth, replace(acquired, label=None)


def _psnr(
    truth: Case, acquired: Case, imputer: Imputer, design: Design, params: ImputationParams
) -> float:
    imputed = impute_case(acquired, imputer, params)
    slices = corresponding_slices(imputed.record)
    unlabelled = replace(truth, label=None)
    return score_imputed_case(imputed, unlabelled, slices, design.evaluation)["psnr_body"]


def _append(target: Path, line: dict[str, Any]) -> None:
    with target.open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
