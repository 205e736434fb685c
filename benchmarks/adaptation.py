"""Gain of each term of adaptation, switched on and off, on development subjects of real data sets.

    SLICEFILL_DATA=~/data python benchmarks/adaptation.py --minutes 5
    python benchmarks/adaptation.py --data ~/data --sets brain_t1 --terms conf "no cycle" --limit 3

For each set, factor and row, the shipped weights are fine-tuned for a number of minutes on the
subsampled scans of development subjects (halves.yml) alone, and impute these scans. Labels and
removed slices take no part.
Prints the gain in PSNR on synthetic slices inside the body over the shipped weights, and writes it
as adaptation.csv. Models are kept; an existing model is not trained again.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from learning import learn_adapted, load_weights, subsampled_scans
from real_sets import FACTORS, Design, find_scans, load_design, read_pair, score_method, set_options

from slicefill.imputation.imputers import Imputer, learned_imputer
from slicefill.imputation.methods.adapted.adaptation import Scans, adaptation_fingerprint
from slicefill.imputation.methods.adapted.params import AdaptationParams
from slicefill.imputation.methods.pretrained import ADAPTED, PRETRAINED
from slicefill.io.checkpoints import StateFile
from slicefill.io.storage import location
from slicefill.types import Checkpoint

Changes = Mapping[str, Any]
TERMS: dict[str, Changes] = {
    "conf": {},
    "no in-plane": {"groups": {"in_plane": 0.0}},
    "no through-plane": {"groups": {"through_plane": 0.0}},  # nor a cycle, which needs them
    "no cycle": {"weights": {"cycle": 0.0}},
    "more cycle": {"weights": {"cycle": 1.0}},
    "flows learn": {"optimisation": {"frozen": ()}},
    "all the way": {"fraction": 1.0},
    "all of SI": {  # its motion losses need trainable flows
        "weights": {"warp": 0.1, "smooth": 0.003, "adv": 2.5e-4, "tp_smooth": 2.3e-3},
        "optimisation": {"frozen": ()},
    },
}


def main(arguments: list[str] | None = None) -> None:
    """Adapt, impute, score; print the table."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    present = [name for name in options.sets if (options.data / name).is_dir()]
    rows = []
    for design in (load_design(options.data / name, n) for name in present for n in FACTORS[name]):
        rows += measure(design, options)
        pd.DataFrame(rows).to_csv(options.out / "adaptation.csv", index=False)
    print(tabulate(pd.DataFrame(rows)).to_markdown(index=False))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = set_options(__doc__, "adaptation")
    add = parser.add_argument
    add("--terms", nargs="+", choices=TERMS, default=[*TERMS], help="(all)")
    add("--minutes", type=float, default=5.0, help="of each training (%(default)s)")
    add("--checkpoint", type=Path, help="other weights than the shipped ones")
    return parser.parse_args(arguments)


def measure(design: Design, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Score the shipped and every adapted model on every scan of a set, one row each."""
    scans, _ = find_scans(design, "development", options.limit)
    shipped = load_weights(options.checkpoint)
    fillers = {PRETRAINED: learned_imputer(PRETRAINED, shipped, design.imputation)}
    acquired_case = subsampled_scans(design, scans)
    for name in options.terms:
        made = _adapted(acquired_case, design, shipped, name, options)
        fillers[name] = learned_imputer(ADAPTED, made, design.imputation)
    rows = []
    for case, scan in scans.items():
        truth, acquired_case = read_pair(scan, design)
        for name, filler in fillers.items():
            psnr = score_method(truth, acquired_case, filler, design)["psnr_body"]
            whose = {"where": str(design), "subject": scan.subject, "case": case}
            rows.append({**whose, "terms": name, "psnr": psnr, **_found(filler)})
    return rows


def _adapted(
    acquired_case: Scans, design: Design, start: Checkpoint, name: str, options: argparse.Namespace
) -> Checkpoint:
    """Adapt with other terms; each model has a file of its own."""
    params = change(design.adaptation.within(options.minutes), TERMS[name])
    file = (
        f"{design.name}_x{design.factor}_{adaptation_fingerprint(acquired_case, start, params)}.pt"
    )
    return learn_adapted(acquired_case, start, params, StateFile(location(str(options.out / file))))


def change(params: AdaptationParams, changes: Changes) -> AdaptationParams:
    """Return the parameters with some values, or some values of a section, replaced."""
    plain = params.model_dump()
    changed = {
        name: {**plain[name], **value} if isinstance(value, Mapping) else value
        for name, value in changes.items()
    }
    return AdaptationParams(**{**plain, **changed})


def _found(filler: Imputer) -> dict[str, Any]:
    found = filler.adaptation or {}
    return {"used": found.get("used"), "judged": found.get("gain_db"), "steps": found.get("steps")}


def tabulate(scores: pd.DataFrame) -> pd.DataFrame:
    """Gain over the shipped weights: mean ± sd over subjects, and the held-out gain."""
    rows = []
    for where, own in scores.groupby("where", sort=False):
        wide = own.pivot(index=["subject", "case"], columns="terms", values="psnr")
        gains = wide.sub(wide[PRETRAINED], axis=0)
        for name, told in own.groupby("terms", sort=False):
            if name == PRETRAINED:
                continue
            subjects = gains[name].groupby("subject").mean()
            rows.append(
                {
                    "where": where,
                    "terms": name,
                    "gain, dB": f"{subjects.mean():+.2f} ± {subjects.std():.2f}",
                    "cases better": f"{(gains[name] > 0).mean():.0%}",
                    "on held-out slices, dB": f"{told['judged'].iloc[0]:+.2f}",
                    "steps": int(told["steps"].iloc[0]),
                    "used": told["used"].iloc[0],
                }
            )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
