"""Speed of imputation, compared with the same network run one pair at a time in fp32.

    python benchmarks/imputation.py --threads 2

Both impute the same synthetic volume, from file to file, with the same weights. Every measurement
has a process of its own, so that peak memory is that of one way alone, and the two take turns.
"""

import argparse
import json
import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from apart import Numbers, apart, median_run, peak_memory
from convolution import Meter, measure_peaks
from imputing import (
    Setting,
    base_params,
    make_checkpoint,
    make_imputer,
    make_scan,
    our_precision,
)
from table import render

from slicefill.imputation.dense_grid import stack_case
from slicefill.imputation.impute import impute_case
from slicefill.imputation.methods.slice_imputation.networks import UNet
from slicefill.io.case_folder import read_volume, write_case, write_volume
from slicefill.types import Case, Stack

VARIANTS = ("slicefill", "plain")
_PAIRS = (1, 2, 4, 8, 16)


def main() -> None:
    """Measure, print a table, and write JSON if asked to."""
    given = vars(_parser().parse_args())
    repeats, target = given.pop("repeats"), given.pop("json")
    setting = Setting(**{**given, "size": tuple(given["size"])})
    os.environ["OMP_NUM_THREADS"] = str(setting.threads)  # for the processes that measure
    with tempfile.TemporaryDirectory() as name:
        scan = Path(name) / "scan.nii.gz"
        write_volume(make_scan(setting), scan)
        turns = [
            (v, apart(impute_once, setting, v, scan)) for _ in range(repeats) for v in VARIANTS
        ]
        pairs = apart(scan_pairs, setting, scan)
    peaks = apart(measure_peaks, setting.threads)
    results = {
        variant: median_run([run for name, run in turns if name == variant]) for variant in VARIANTS
    }
    print(render(setting, results, peaks, pairs))
    if target:
        content = {"setting": vars(setting), "runs": turns, "peaks": peaks, "pairs": pairs}
        target.write_text(json.dumps(content, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, nargs=3, default=(240, 240, 39), metavar="VOXELS")
    parser.add_argument("--factor", type=int, default=4, help="slice over pixel spacing (4)")
    parser.add_argument("--width", type=int, default=32, help="of the network (32, the paper's)")
    parser.add_argument("--depth", type=int, default=5, help="of the network (5, the paper's)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="(all cores)")
    parser.add_argument("--repeats", type=int, default=3, help="the median is printed (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number there")
    return parser


def impute_once(setting: Setting, variant: str, scan: Path) -> Numbers:
    """Impute the volume from file to file; return total and partial seconds, memory, operations."""
    params = base_params(setting.factor)
    imputer = make_imputer(variant, make_checkpoint(setting), params)
    meter = Meter(UNet)
    busy, clock = time.process_time(), [time.perf_counter()]
    case = Case(read_volume(scan))
    clock.append(time.perf_counter())
    imputed = impute_case(case, imputer, params)
    clock.append(time.perf_counter())
    write_case(imputed, scan.with_name(variant))
    clock.append(time.perf_counter())
    read, fill, write = (end - start for start, end in pairwise(clock))
    synthetic = imputed.image.stored.shape[2] - case.image.stored.shape[2]
    return {
        "seconds": read + fill + write,
        "read": read,
        "network": meter.seconds,
        "rest": fill - meter.seconds,
        "write": write,
        "cpu_seconds": time.process_time() - busy,
        "slices_per_second": synthetic / (read + fill + write),
        "peak_memory": peak_memory(),
        "flop": meter.flop,
        "flop_per_second": meter.flop / meter.seconds,
        "precision": our_precision(params) if variant == "slicefill" else "fp32",
    }


def scan_pairs(setting: Setting, scan: Path) -> dict[int, float]:
    """Return seconds per pair for several numbers of pairs in a batch."""
    case, checkpoint = Case(read_volume(scan)), make_checkpoint(setting)
    whole = stack_case(case, 2, base_params(setting.factor).window)
    start = max(0, (len(whole.image) - max(_PAIRS)) // 2)
    stack = Stack(whole.image[start : start + max(_PAIRS) + 1], whole.window)
    positions = [n / setting.factor for n in range(1, setting.factor)]
    rows, columns = np.nonzero(stack.normalised().any(axis=(0, 1)))
    pixels = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)  # of a slice in a batch
    seconds = {}
    for pairs in _PAIRS:
        params = base_params(setting.factor, batch_pixels=int(pairs * pixels))
        imputer = make_imputer("slicefill", checkpoint, params)
        imputer.method(stack, positions, np.random.default_rng(0))
        begun = time.perf_counter()
        imputer.method(stack, positions, np.random.default_rng(0))
        seconds[pairs] = (time.perf_counter() - begun) / (len(stack.image) - 1)
    return seconds


if __name__ == "__main__":
    main()
