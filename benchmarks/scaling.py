"""Cost of imputing very many volumes: measured on one, extrapolated, with the limiting resource.

    python benchmarks/scaling.py                                    # 240 x 240 x 39, imputed x4
    python benchmarks/scaling.py --model data/06_models/hippocampus/S_x4/slice_imputation.pt
    python benchmarks/scaling.py --volumes 1000000 --cores 64 --network 3000

Seconds are those of one core (the measurement runs on one thread); bytes and requests those of
the case folders that a run reads and writes. An S3 server on this machine counts the requests.
The numbers of machines and of the store are assumptions, and options.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from counting import count_requests
from imputing import Setting, base_params, base_training, make_checkpoint, make_scan
from tabulate import tabulate

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import Imputer, classical_imputer, learned_imputer
from slicefill.imputation.methods.slice_imputation.training import train
from slicefill.imputation.methods.slice_imputation.training_set import TrainingData
from slicefill.io.case_folder import read_case, write_case
from slicefill.io.checkpoints import read_checkpoint
from slicefill.training.fit import Run, Stateless
from slicefill.types import Case, Promise

_MACHINES = (1, 10, 100, 1000)
_GROUPS = 64  # drawn to time a training step


def main() -> None:
    """Measure and print three tables."""
    options = _parser().parse_args()
    torch.set_num_threads(1)
    setting = Setting((240, 240, 39), 4, 32, 5, threads=1)
    params = base_params(setting.factor)
    checkpoint = read_checkpoint(options.model) if options.model else make_checkpoint(setting)
    imputers = [classical_imputer("linear", params), learned_imputer("learned", checkpoint, params)]
    measured = {imputer.name: _measure(imputer, setting, options.repeats) for imputer in imputers}
    print(_per_volume(measured), end="\n\n")
    print(_training(setting), end="\n\n")
    for name, costs in measured.items():
        print(f"{options.volumes} volumes, {name}:\n\n{_scale(costs, options)}", end="\n\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--volumes", type=int, default=100_000, help="to be imputed (100,000)")
    parser.add_argument("--model", type=Path, help="trained model (random, of the paper's size)")
    parser.add_argument("--repeats", type=int, default=3, help="the fastest counts (3)")
    machine = parser.add_argument_group("assumed of a machine")
    machine.add_argument("--cores", type=int, default=32, help="(32)")
    machine.add_argument("--disk", type=float, default=500, help="its own disk, MB/s (500)")
    machine.add_argument("--network", type=float, default=1250, help="MB/s (1250: 10 Gbit/s)")
    store = parser.add_argument_group("assumed of the store that all machines share")
    store.add_argument("--store", type=float, default=5000, help="MB/s in all (5000)")
    store.add_argument("--requests", type=float, default=3500, help="per second in all (3500)")
    return parser


def _measure(imputer: Imputer, setting: Setting, repeats: int) -> dict[str, float]:
    """Impute from folder to folder: seconds of one core, bytes and requests per volume."""
    params = base_params(setting.factor)
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name, "acquired"), Path(name, "imputed")
        write_case(Case(make_scan(setting), record={"fingerprint": "0"}), source)
        seconds = []
        for _ in range(repeats):
            begun = time.process_time()
            write_case(impute_case(read_case(source), imputer, params), target)
            seconds.append(time.process_time() - begun)
        imputed = read_case(target)
        return {
            "core seconds": min(seconds),
            "MB read": _megabytes(source),
            "MB written": _megabytes(target),
            "requests": count_requests(read_case(source), imputed),
        }


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def _per_volume(measured: dict[str, dict[str, float]]) -> str:
    rows = [[name, *costs.values()] for name, costs in measured.items()]
    names = ["per volume", *next(iter(measured.values()))]
    return tabulate(rows, names, "pipe", floatfmt=".3g")


def _training(setting: Setting) -> str:
    """State the duration of training, from one epoch of few groups."""
    params = base_training(setting, epochs=1, groups_per_epoch=_GROUPS)
    case = Promise(lambda: Case(make_scan(setting)), "0")
    clock: list[float] = []
    run = Run(Stateless(), lambda values, epoch: clock.append(time.process_time()))
    train(TrainingData({"a": case}, {"b": case}, "S"), params, run)
    group = (clock[1] - clock[0]) / _GROUPS
    planned = base_training(setting).optimisation
    hours = group * planned.groups_per_epoch * planned.epochs / 3600
    return (
        f"Training: {group:.2f} seconds per group of slices on one core; "
        f"{planned.epochs} epochs of {planned.groups_per_epoch} groups: {hours:.1f} hours, "
        "whatever the number of volumes to impute."
    )


def _scale(costs: dict[str, float], options: argparse.Namespace) -> str:
    """Tabulate hours per limit for some numbers of machines; the largest decides."""
    volumes, moved = options.volumes, costs["MB read"] + costs["MB written"]
    rows = []
    for machines in _MACHINES:
        hours = {
            "cores": costs["core seconds"] * volumes / options.cores / machines / 3600,
            "own disks": moved * volumes / options.disk / machines / 3600,
            "network": moved * volumes / options.network / machines / 3600,
            "store, bytes": moved * volumes / options.store / 3600,
            "store, requests": costs["requests"] * volumes / options.requests / 3600,
        }
        rows.append([machines, *hours.values(), max(hours, key=hours.__getitem__)])
    names = ["machines", *(f"{name}, h" for name in hours), "saturates first"]
    read, written = (costs[f"MB {way}"] * volumes / 1e6 for way in ("read", "written"))
    total = f"{read:.2g} TB read, {written:.2g} TB written."
    return tabulate(rows, names, "pipe", floatfmt=".3g") + "\n\n" + total


if __name__ == "__main__":
    main()
