"""Where the time of one imputation goes, and the most memory that it takes.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/parts.py                     # 240 × 240 × 39, ×4
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/parts.py --size 512 512 134 --factor 3

Imputes a made scan with labels from file to file by the shipped weights, in one thread, and counts
the seconds of the processor (user and system): other work on the machine changes them less than
those of a clock. Parts contain each other as they are indented. `--case` takes a case folder
instead of making one, so that the memory is that of imputation alone.
"""

import argparse
import cProfile
import pstats
import tempfile
import time
from pathlib import Path

import torch
from apart import peak_memory
from imputing import base_params
from made_case import Scan, make_truth, thin

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import load_named
from slicefill.io.case_folder import read_case, write_case

PARTS = {
    "read": ("case_folder.py", "read_case"),
    "impute": ("impute.py", "impute_case"),
    "- choice of methods": ("choice.py", "choose"),
    "- choice of labels": ("label_choice.py", "choose_labels"),
    "- network, all that it is run for": ("model.py", "_run"),
    "- image from motion": ("infer.py", "_render"),
    "- labels: distances, looks": ("label_boxes.py", "around"),
    "- labels: following motion, vote": ("label_boxes.py", "impute"),
    "- evidence of errors": ("evidence.py", "gather_evidence"),
    "- expected errors, abstention": ("confidence.py", "_choose"),
    "- optical flow, cubic, blend": ("choice.py", "blend"),
    "- masks and confidence maps": ("impute.py", "_maps"),
    "- image and labels between": ("dense_grid.py", "interleave"),
    "write": ("case_folder.py", "write_case"),
}
"""By title, the file and the function whose seconds count."""


def main() -> None:
    """Impute once, and print the parts."""
    options = _options()
    torch.set_num_threads(1)
    params = base_params(options.factor)
    imputer = load_named("pretrained", params)
    with tempfile.TemporaryDirectory() as name:
        case = options.case or Path(name) / "case"
        if not options.case:
            scan = Scan(tuple(options.size), options.factor)
            write_case(thin(make_truth(scan), options.factor), case)
        profile = cProfile.Profile(time.process_time)
        profile.enable()
        write_case(impute_case(read_case(case), imputer, params), Path(name) / "made")
        profile.disable()
    print(render(pstats.Stats(profile)))
    print(f"\nPeak memory: {peak_memory() / 2**20:.0f} MiB")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--size", type=int, nargs=3, default=[240, 240, 39], metavar="N", help="(%(default)s)")
    add("--factor", type=int, default=4, help="(%(default)s)")
    add("--case", type=Path, help="case folder to impute in the place of a made one")
    return parser.parse_args()


def render(profile: pstats.Stats) -> str:
    """Write the parts as Markdown: seconds, functions that they call included."""
    seconds = {
        (Path(file).name, function): found[3]
        for (file, _, function), found in profile.stats.items()
        if "slicefill" in file
    }
    rows = [f"| {title} | {seconds.get(part, 0.0):.2f} |" for title, part in PARTS.items()]
    total = sum(seconds.get(PARTS[part], 0.0) for part in ("read", "impute", "write"))
    return "\n".join(["| part | seconds |", "|:---|---:|", *rows, f"| all | {total:.2f} |"])


if __name__ == "__main__":
    main()
