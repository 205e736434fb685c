"""What it costs and gains that threads sleep while they wait, alone and beside other processes.

    python benchmarks/threads.py                 # on an idle machine: the cost
    python benchmarks/threads.py --others 1      # beside one busy process: the gain

The shipped weights impute two procedural scans. Threads that wait for each other spin for some
milliseconds, as OpenMP has it by default, or sleep at once (OMP_WAIT_POLICY=PASSIVE), as Slicefill
sets it. Every measurement has a process of its own, and the two take turns.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apart import apart
from tabulate import tabulate

SPIN, SLEEP = "spin", "sleep"
SCANS = {(240, 240, 39): 4, (36, 50, 9): 4}  # voxels of the anisotropic scan: factor
_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


def main() -> None:
    """Measure, print a table, and write JSON if asked to."""
    given = _parser().parse_args()
    for name in _VARIABLES:
        os.environ.pop(name, None)
    os.environ["OMP_NUM_THREADS"] = str(given.threads)  # for the processes that measure
    seconds: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as name, busy(given.others):
        for size, factor in SCANS.items():
            path = Path(name, "x".join(map(str, size)) + ".nii.gz")
            apart(make_scan, size, factor, path)
            own = seconds[f"{' × '.join(map(str, size))}, ×{factor}"] = {SPIN: [], SLEEP: []}
            for _ in range(given.repeats):
                for way, runs in own.items():
                    runs.append(apart(impute_once, way, path, factor))
    print(f"{given.threads} threads, {given.others} busy processes beside them\n")
    print(render(seconds))
    if given.json:
        content = {"threads": given.threads, "others": given.others, "seconds": seconds}
        given.json.write_text(json.dumps(content, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--others", type=int, default=0, help="busy processes beside (0)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="(all cores)")
    parser.add_argument("--repeats", type=int, default=5, help="the median is printed (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number there")
    return parser


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep so many processes busy, each on one core."""
    others = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def make_scan(size: tuple[int, int, int], factor: int, path: Path) -> None:
    """Write an anisotropic procedural scan."""
    from made_case import Scan, make_truth, thin

    from slicefill.io.case_folder import write_volume

    write_volume(thin(make_truth(Scan(size, factor)), factor).image, path)


def impute_once(way: str, path: Path, factor: int) -> float:
    """Impute a scan in this process; return the seconds, without those of reading and loading."""
    if way == SPIN:
        import torch  # noqa: F401 - OpenMP reads the policy here, before Slicefill sets it

    from slicefill import api
    from slicefill.imputation.impute import impute_case
    from slicefill.imputation.imputers import learned_imputer
    from slicefill.imputation.methods.pretrained import load_pretrained
    from slicefill.params import ImputationParams

    case = api.read(path)
    params = ImputationParams(count=factor - 1, target_spacing=None)
    imputer = learned_imputer("pretrained", load_pretrained(), params)
    begun = time.perf_counter()
    impute_case(case, imputer, params)
    return time.perf_counter() - begun


def render(seconds: dict[str, dict[str, list[float]]]) -> str:
    """Write the medians as Markdown, and how they compare."""
    rows = []
    for scan, own in seconds.items():
        spin, sleep = (statistics.median(own[way]) for way in (SPIN, SLEEP))
        rows.append([scan, f"{spin:.2f}", f"{sleep:.2f}", f"{sleep / spin:.2f}"])
    titles = ["seconds", "threads spin", "threads sleep", "sleep / spin"]
    return tabulate(rows, titles, "pipe", disable_numparse=True)


if __name__ == "__main__":
    main()
