"""Duration of the imputation of a data set with every executor, and equality of all bits.

    python benchmarks/executors.py --env hippocampus

Takes the anisotropic cases and the model of a finished `kedro run --env=hippocampus` from the
catalog, imputes every test case from file to file with two workers and serially, and compares the
files.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

WAYS = {"in turn": "serial", "processes": "processes"}


def main() -> None:
    """Measure, print a table, and write JSON if asked to."""
    from tabulate import tabulate

    given = _parser().parse_args()
    imputed = promises(given.env, given.method, given.cases)
    seconds, written = {}, {}
    with tempfile.TemporaryDirectory() as name:
        for way, kind in WAYS.items():
            folder = Path(name, kind)
            seconds[way] = fill(imputed, kind, given.workers, folder)
            written[way] = contents(folder)
    same = {way: written[way] == written["in turn"] for way in WAYS}
    rows = [
        [way, f"{taken:.1f}", f"{seconds['in turn'] / taken:.2f}", "yes" if same[way] else "NO"]
        for way, taken in seconds.items()
    ]
    print(f"{len(imputed)} cases, {given.workers} workers\n")
    print(tabulate(rows, ["", "seconds", "times as fast", "same bits"], "pipe"))
    if given.json:
        content = {
            "cases": len(imputed),
            "workers": given.workers,
            "seconds": seconds,
            "same": same,
        }
        given.json.write_text(json.dumps(content, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--env", default="hippocampus", help="of a finished run (hippocampus)")
    parser.add_argument("--method", default="slice_imputation", help="(slice_imputation)")
    parser.add_argument("--cases", type=int, help="largest number (all test cases)")
    parser.add_argument("--workers", type=int, default=2, help="(2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number there")
    return parser


def promises(env: str, method: str, limit: int | None) -> dict[str, Any]:
    """Promise the imputed test cases of an experiment, as its imputation pipeline does."""
    from kedro.config import OmegaConfigLoader
    from kedro.io import DataCatalog

    from slicefill.params import ImputationParams
    from slicefill.pipelines.imputation.nodes import impute_cases
    from slicefill.settings import CONFIG_LOADER_ARGS

    root = Path(__file__).parents[1]
    conf = OmegaConfigLoader(str(root / "conf"), env, **CONFIG_LOADER_ARGS)
    catalog = DataCatalog.from_config(dict(conf["catalog"]))
    parameters, chosen = conf["parameters"], {"methods": [method], "weights": "own"}
    params = ImputationParams(**{**parameters["imputation"], **chosen})
    found = [catalog.load(name) for name in ("acquired_cases", "splits", "models")]
    imputed, _ = impute_cases(*found, [method], params, parameters)
    return dict(list(imputed.items())[:limit])


def fill(imputed: dict[str, Any], kind: str, workers: int, folder: Path) -> float:
    """Impute and write the cases; return the seconds until the last file."""
    from slicefill.datasets.cases import CasesDataset

    executor = {"kind": kind, "workers": workers, "scheduler": None, "attempts": 3}
    dataset = CasesDataset(path=str(folder), made_by="imputation", executor=executor)
    begun = time.perf_counter()
    dataset.save(imputed)
    return time.perf_counter() - begun


def contents(folder: Path) -> dict[str, bytes]:
    """Contents of the written files, by name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


if __name__ == "__main__":
    main()
