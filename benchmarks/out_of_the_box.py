"""Quality of the shipped weights on real data sets of any kind, without training.

    SLICEFILL_DATA=~/data python benchmarks/out_of_the_box.py
    python benchmarks/out_of_the_box.py --data ~/data --adapt 5
    python benchmarks/out_of_the_box.py --data ~/data --half development --checkpoint mine.pt

The folder holds the sets (`brain_t1`, `hippocampus`, … as docs/datasets.md lays them out); absent
sets are left out. Slices are removed, imputed by every method and compared with the originals.
halves.yml divides the subjects: choose on `development`, report on `report`. `--adapt` also
fine-tunes the weights on the anisotropic scans of each set; `--scratch` also trains Slice
Imputation on them, from random weights.

Writes `scores.csv` (set, factor, method, subject, case, metric, value) and `tables.md`. Scores
in scores.csv with the same weights and parameters are not computed again: after a change of code,
use a new folder.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from learning import SCRATCH, learn_adapted, learn_from_scratch, load_weights, subsampled_scans
from real_sets import (
    FACTORS,
    Design,
    Scan,
    find_scans,
    load_design,
    read_pair,
    score_method,
    set_options,
)

from slicefill.execution.each import run_each
from slicefill.fingerprint import fingerprint
from slicefill.imputation.imputers import DIS, Imputer, learned_imputer, load_named
from slicefill.imputation.methods.adapted.adaptation import Scans
from slicefill.imputation.methods.classical import RULES
from slicefill.imputation.methods.pretrained import ADAPTED, PRETRAINED
from slicefill.io.checkpoints import StateFile
from slicefill.io.storage import location
from slicefill.params import SERIAL
from slicefill.reporting.tables import mean_sd, signed
from slicefill.types import Checkpoint

SHOWN = {
    "psnr_body": "PSNR, dB",
    "ssim_body": "SSIM",
    "dice_mean": "Dice",
    "volume_bias_mean": "volume bias",
    "background_changed": "background changed",
    "row_gradient_ratio": "gradients, rows",
    "column_gradient_ratio": "columns",
    "gradient_ratio": "across",
    "alternation": "alternation",
    "confidence_mean": "confidence",
    "confidence_due": "confidence due",
    "confidence_rank": "confidence rank",
    "confidence_gain": "share of best order",
}
JUDGED = ("psnr_body", "dice_mean")
DEMONS = "demons"
CLASSICAL = {**{rule: rule for rule in RULES}, **{kind: {"kind": kind} for kind in (DIS, DEMONS)}}
"""Methods that learned nothing, and how `load_named` is asked for them."""
LEAST_GAIN = {("brain_t1", 4, "psnr_body"): 0.7, ("hippocampus", 4, "psnr_body"): 0.7}  # dB
SAINT, WITH_SAINT = "saint", "with_saint"
"""SAINT alone, and `imputation.quality: saint`."""
QUALITIES = {"good": "good", "best": "best", WITH_SAINT: SAINT}
"""The shipped weights with reformatted planes, as they are, after they have learned from the scan,
and with SAINT in their place: `imputation.quality` of each."""
LEAST_SHARE = 0.8  # of cases that are better
_WHOSE = ["set", "factor", "method", "subject", "case"]
_COLUMNS = [*_WHOSE, "metric", "value", "weights", "mark"]


@dataclass(frozen=True)
class Measured:
    """Long table of the scores of a set at a factor, and the cases without scores, with reasons."""

    design: Design
    scores: pd.DataFrame
    dropped: dict[str, str]


def main(arguments: list[str] | None = None) -> None:
    """Measure every set that exists, print the tables and write them."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    present = [name for name in options.sets if (options.data / name).is_dir()]
    designs = [
        load_design(options.data / name, factor)
        for name in present
        for factor in FACTORS[name]
        if factor in options.factors
    ]
    measured = [measure(design, options) for design in designs]
    absent = [name for name in options.sets if name not in present]
    text = render(measured, options.half, absent)
    (options.out / "tables.md").write_text(text)
    print(text)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = set_options(__doc__, "out_of_the_box")
    usual = [*CLASSICAL, PRETRAINED, "good"]
    methods = [*usual, "best", SAINT, WITH_SAINT]
    add = parser.add_argument
    add("--half", choices=["development", "report"], default="report", help="(report)")
    help_ = "(all but best and those with SAINT, which need pip install 'slicefill[saint]')"
    add("--methods", nargs="+", choices=methods, default=usual, help=help_)
    add("--checkpoint", type=Path, help="other weights than the shipped ones for `pretrained`")
    add(
        "--adapt", type=float, metavar="MINUTES", help="also adapt to the scans, per set and factor"
    )
    add("--scratch", type=float, metavar="MINUTES", help="also train the paper's method")
    add("--factors", nargs="+", type=int, default=[2, 4], help="(all)")
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        parser.error(f"--data: expected the folder of the data sets, got {options.data}")
    return options


def fillers(
    design: Design, scans: Mapping[str, Scan], options: argparse.Namespace
) -> dict[str, Imputer]:
    """Prepare the methods for a set; those that learn from its scans are trained here."""
    params = design.imputation
    plain = [name for name in options.methods if name in CLASSICAL]
    ready = {name: load_named(CLASSICAL[name], params) for name in plain}
    if SAINT in options.methods:
        ready[SAINT] = load_named({"kind": SAINT}, params)
    models = _models(design, subsampled_scans(design, scans), options)
    ready |= {name: learned_imputer(name, model, params) for name, model in models.items()}
    for name in [each for each in QUALITIES if each in options.methods]:
        own = params.model_copy(update={"quality": QUALITIES[name]})
        ready[name] = learned_imputer(name, load_weights(options.checkpoint), own)
    return ready


def _models(
    design: Design, acquired_case: Scans, options: argparse.Namespace
) -> dict[str, Checkpoint]:
    """Load the weights that are measured; trained ones are stored beside the scores."""

    def store(name: str) -> StateFile:
        return StateFile(location(str(options.out / f"{name}_{design.name}_x{design.factor}.pt")))

    models = {}
    if PRETRAINED in options.methods:
        models[PRETRAINED] = load_weights(options.checkpoint)
        if options.adapt:
            limited, start = design.adaptation.within(options.adapt), models[PRETRAINED]
            models[ADAPTED] = learn_adapted(acquired_case, start, limited, store(ADAPTED))
    if options.scratch:
        models[SCRATCH] = learn_from_scratch(acquired_case, design, options.scratch, store(SCRATCH))
    return models


def measure(design: Design, options: argparse.Namespace) -> Measured:
    """Score every method on every scan that scores.csv does not hold yet."""
    scans, left_out = find_scans(design, options.half, options.limit)
    made = fillers(design, scans, options).values()
    ready = {_mark(imputer, design): imputer for imputer in made}
    target = options.out / "scores.csv"
    known = _read(target)
    done = set(zip(known["case"], known["mark"], strict=True))

    def score(case: str, scan: Scan) -> None:
        missing = {mark: imputer for mark, imputer in ready.items() if (case, mark) not in done}
        if not missing:
            return
        truth, acquired_case = read_pair(scan, design)
        for mark, imputer in missing.items():
            scores = score_method(truth, acquired_case, imputer, design)
            whose = [design.name, design.factor, imputer.name, scan.subject, case]
            how = [(imputer.model or "")[:12], mark]
            rows = [[*whose, metric, value, *how] for metric, value in scores.items()]
            table = pd.DataFrame(rows, columns=_COLUMNS)
            table.to_csv(target, mode="a", header=not target.exists(), index=False)

    _, failed = run_each(score, scans, SERIAL, str(design))
    scores = _read(target)
    complete = scores["case"].isin(scans.keys() - failed.keys())
    return Measured(design, scores[complete & scores["mark"].isin(ready)], left_out | failed)


def _mark(imputer: Imputer, design: Design) -> str:
    """Fingerprint of everything that scores depend on besides the case and the code."""
    synthetic = design.imputation.model_dump(exclude={"methods", "cases", "batch_pixels"})
    steps = (design.ingestion, design.subsampling, design.evaluation)
    return fingerprint(design.name, imputer.fingerprint, synthetic, *steps)


def _read(target: Path) -> pd.DataFrame:
    if not target.exists():
        return pd.DataFrame(columns=_COLUMNS)
    text = dict.fromkeys(("subject", "case", "weights", "mark"), str)
    return pd.read_csv(target, dtype=text, keep_default_na=False, na_values={"value": [""]})


def render(measured: list[Measured], half: str, absent: list[str]) -> str:
    """Write all tables as Markdown: one per set and factor, then the targets."""
    note = (
        "Synthetic slices only, inside the body; mean ± standard deviation over subjects. "
        "*Background changed*: share of synthetic voxels that differ from the constant background "
        "of both acquired neighbours. "
        "*Confidence due*: what the mean confidence should be, 1 - mean absolute error / "
        "width of the window. *Gradients*: energy of what differs from voxel to voxel over that of "
        "the truth; *alternation*: of synthetic slices over that of acquired ones; both best at 1. "
        "*Confidence rank*: Spearman's correlation of 1 - confidence with the absolute error."
    )
    parts = [f"# Out of the box: {half} half", note]
    if absent:
        parts.append(f"Not there and left out: {', '.join(absent)}.")
    parts += [_section(each) for each in measured]
    verdicts = [verdict for each in measured for verdict in judge(each)]
    bar = _markdown(pd.DataFrame(verdicts)) if verdicts else "No model was measured."
    return "\n\n".join([*parts, "## The bar", bar]) + "\n"


def _section(measured: Measured) -> str:
    scores = measured.scores
    subjects, cases = scores["subject"].nunique(), scores["case"].nunique()
    title = f"## {measured.design} ({subjects} subjects, {cases} cases)"
    weights = scores.loc[scores["weights"] != "", ["method", "weights"]].drop_duplicates()
    notes = [f"Weights of `{method}`: {digest}." for method, digest in weights.to_numpy()]
    notes += [f"Dropped: {case} ({reason})." for case, reason in measured.dropped.items()]
    return "\n\n".join([title, _markdown(summarise(scores)), *notes])


def _markdown(table: pd.DataFrame) -> str:
    return str(table.to_markdown(index=False, disable_numparse=True))


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Tabulate `mean ± sd`, a row per method, a column per metric; the subject is the unit."""
    cells: dict[str, list[str]] = {"method": list(scores["method"].unique())}
    for metric, name in SHOWN.items():
        subjects = _by_subject(_wide(scores, metric))
        cells[name] = [mean_sd(*pair) for pair in zip(subjects.mean(), subjects.std(), strict=True)]
    return pd.DataFrame(cells)


def judge(measured: Measured) -> list[dict[str, str]]:
    """Compare every model with the best classical method, and `adapted` with `pretrained`.

    A model must reach the mean of the best classical method, in some places exceed it by
    `LEAST_GAIN`, and be better in `LEAST_SHARE` of the cases; adaptation must not lower the mean.
    """
    verdicts = []
    for metric in JUDGED:
        wide = _wide(measured.scores, metric)
        means = _by_subject(wide).mean()
        classical = means.filter(items=[*CLASSICAL]).dropna()
        if classical.empty:
            continue
        design, best = measured.design, classical.idxmax()
        least = LEAST_GAIN.get((design.name, design.factor, metric), 0.0)
        models = [name for name in wide if name not in CLASSICAL]
        contests = [(name, best, least, LEAST_SHARE) for name in models]
        if {ADAPTED, PRETRAINED} <= {*models}:
            contests.append((ADAPTED, PRETRAINED, 0.0, 0.0))
        for name, other, *needed in contests:
            share = (wide[name] > wide[other])[wide[[name, other]].notna().all(axis=1)].mean()
            found = means[name] - means[other], share
            where = {"where": str(design), "metric": SHOWN[metric], "method": name}
            verdicts.append({**where, "against": other, **_verdict(found, needed)})
    return verdicts


def _verdict(found: Sequence[float], needed: Sequence[float]) -> dict[str, str]:
    """State whether a gain and a fraction of cases reach the target."""
    return {
        "gain": signed(found[0]),
        "cases better": f"{found[1]:.0%}",
        "needed": f"{needed[0]:g}, {needed[1]:.0%}",
        "met": "yes" if all(a >= b for a, b in zip(found, needed, strict=True)) else "no",
    }


def _wide(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One metric: a row per subject and case, a column per method in the order of the scores."""
    own = scores[scores["metric"] == metric]
    wide = own.pivot(index=["subject", "case"], columns="method", values="value").astype(float)
    return wide.replace([np.inf, -np.inf], np.nan).reindex(columns=scores["method"].unique())


def _by_subject(wide: pd.DataFrame) -> pd.DataFrame:
    return wide.groupby("subject").mean()


if __name__ == "__main__":
    main()
