"""Speed against quality: every method, and those of other libraries, from file to file.

    python benchmarks/speed.py --json speed.json --figure speed.png
    python benchmarks/speed.py --small --checkpoint data/06_models/hippocampus/S_x4/si_refined.pt

Two isotropic procedural scans are subsampled, imputed and compared with the originals. Every
measurement has a process of its own, and the methods take turns.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from apart import Numbers, apart, median_run, peak_memory
from made_case import Scan, make_truth, score, thin
from tabulate import tabulate
from ways import SCIPY, Way, list_ways

from slicefill.io.case_folder import read_case, write_case
from slicefill.params import ImputationParams

SCANS = (Scan((240, 240, 39), 4), Scan((512, 512, 60), 5))
SMALL = (Scan((48, 48, 9), 4), Scan((64, 64, 7), 5))  # does it run?
_TRUTH, _SUBSAMPLED = "truth", "acquired"
_COLUMNS = ["scan", "method", "seconds", "× SciPy", "peak MiB", "PSNR, dB", "Dice"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, and write JSON and the figure if asked to."""
    options = _parser().parse_args(arguments)
    for name in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ[name] = str(options.threads)  # for the processes that measure
    from convolution import measure_peaks

    ways = list_ways()
    scans = SMALL if options.small else SCANS
    results = {str(scan): measure_scan(scan, ways, options) for scan in scans}
    peaks = apart(measure_peaks, options.threads)
    print(render(results, peaks, ways))
    if options.json:
        content = {"threads": options.threads, "results": results, "peaks": peaks}
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    if options.figure:
        from front import draw_fronts

        families = {way.title: way.family for way in ways}
        draw_fronts(results, families).savefig(options.figure, dpi=200)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--checkpoint", type=Path, metavar="FILE", help="in place of the shipped weights")
    add("--small", action="store_true", help="small scans, for a test; says nothing about speed")
    add("--threads", type=int, default=os.cpu_count(), help="(all cores)")
    add("--repeats", type=int, default=3, help="the median is printed (3)")
    add("--json", type=Path, metavar="FILE", help="write every number there")
    add("--figure", type=Path, metavar="FILE", help="draw quality against seconds there")
    return parser


def measure_scan(
    scan: Scan, ways: Sequence[Way], options: argparse.Namespace
) -> dict[str, Numbers]:
    """Impute one scan in every way, in turns; return seconds, memory and quality by title."""
    from imputing import base_params

    params = base_params(scan.factor)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        apart(make_files, scan, folder)
        runs: dict[str, list[Numbers]] = {way.title: [] for way in ways}
        for _ in range(options.repeats):
            for way in ways:
                runs[way.title].append(apart(impute_once, way, params, folder, options.checkpoint))
        scores = {way.title: apart(score_files, folder / way.title, scan.factor) for way in ways}
    return {title: median_run(own) | scores[title] for title, own in runs.items()}


def make_files(scan: Scan, folder: Path) -> None:
    """Write the isotropic case and the one that is imputed."""
    truth = make_truth(scan)
    write_case(truth, folder / _TRUTH)
    write_case(thin(truth, scan.factor), folder / _SUBSAMPLED)


def impute_once(
    way: Way, params: ImputationParams, folder: Path, checkpoint: Path | None
) -> Numbers:
    """Impute the scan from file to file; return seconds, peak memory and network operations."""
    fill = way.prepare(params, checkpoint)
    meter = _meter() if way.precision else None
    begun = time.perf_counter()
    write_case(fill(read_case(folder / _SUBSAMPLED)), folder / way.title)
    numbers: Numbers = {"seconds": time.perf_counter() - begun, "peak_memory": peak_memory()}
    if meter:
        numbers |= {"flop": meter.flop, "network": meter.seconds}
    return numbers


def _meter():
    from convolution import Meter

    from slicefill.imputation.methods.slice_imputation.networks import BlockUNet, UNet

    return Meter(UNet, BlockUNet)


def score_files(imputed: Path, factor: int) -> dict[str, float]:
    """Score the written case."""
    return score(read_case(imputed), read_case(imputed.with_name(_TRUTH)), factor)


def render(results: dict[str, dict[str, Numbers]], peaks: Numbers, ways: Sequence[Way]) -> str:
    """Write both tables as Markdown: every method, then the utilisation of the CPU by networks."""
    rows, shares = [], []
    for scan, measured in results.items():
        for way in ways:
            own = measured[way.title]
            rows.append([scan, way.title, *_cells(own, measured[SCIPY]["seconds"])])
            if way.precision:
                speed, peak = own["flop"] / own["network"] / 1e9, peaks[way.precision] / 1e9
                spent = [f"{own['network']:.2f}", f"{own['flop'] / 1e9:.0f}", f"{speed:.0f}"]
                shares.append([scan, way.title, *spent, f"{peak:.0f}", f"{speed / peak:.0%}"])
    titles = ["inside the network", "", "seconds", "GFLOP", "GFLOP/s", "peak", "share of peak"]
    return "\n\n".join(
        tabulate(cells, names, "pipe", disable_numparse=True)
        for cells, names in ((rows, _COLUMNS), (shares, titles))
    )


def _cells(own: Numbers, reference: float) -> list[str]:
    seconds = own["seconds"]
    times, memory = f"{seconds / reference:.2f}", f"{own['peak_memory'] / 2**20:.0f}"
    return [f"{seconds:.2f}", times, memory, f"{own['psnr']:.2f}", f"{own['dice']:.3f}"]


if __name__ == "__main__":
    main()
