"""Views of one subject: how well registration finds them, what fusion reaches with true labels.

    python benchmarks/views.py registration DATA/brain_t1 --kinds header rigid
    python benchmarks/views.py fusion DATA/brain_t1

DATA/brain_t1 is laid out as docs/datasets.md says; only subjects of the development half of
halves.yml are used. Views are simulated (`slicefill.simulation.views`), so that the truth is known.
"""

import argparse
import csv
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from real_sets import find_scans, load_design
from tabulate import tabulate
from views_fusion import FusionOptions, measure, scores_table

from slicefill.ingestion.reading import read_raw_case
from slicefill.registration import displacement_error
from slicefill.simulation.views import TRUTH, ViewsParams, simulate_views
from slicefill.types import Array, Case
from slicefill.views.alignment import align

_BARS = {8.0: 1.5, 16.0: 2.5}  # mm of error by mm between slices


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, write every measurement to a CSV file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("registration", "fusion"))
    parser.add_argument("data", type=Path)
    parser.add_argument("--slice-mm", type=float, nargs="+", default=[8.0, 16.0])
    parser.add_argument("--subjects", nargs="+", help="default: the whole development half")
    parser.add_argument("--seeds", type=int, default=2, help="of the motion, per subject")
    parser.add_argument("--kinds", nargs="+", default=["header", "rigid_once", "rigid"])
    parser.add_argument("--strangers", type=int, default=0, help="pairs of unlike subjects, too")
    parser.add_argument("--methods", nargs="+", default=["nearest", "pretrained"])
    parser.add_argument("--registration", default="truth", help="of fusion")
    parser.add_argument("--voxel-offset", type=float, default=0.0, help="0.5 as the notes did")
    parser.add_argument("--images", action="store_true", help="fuse images, too: PSNR")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args(arguments)
    measured = _registration(options) if options.what == "registration" else _fusion(options)
    rows = []
    for row in measured:
        print(row, file=sys.stderr, flush=True)
        rows.append(row)
    if options.csv:
        with options.csv.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(dict.fromkeys(key for row in rows for key in row)))
            writer.writeheader()
            writer.writerows(rows)
    print(_errors(rows) if options.what == "registration" else scores_table(rows))


def _subjects(options: argparse.Namespace) -> dict[str, Case]:
    design = load_design(options.data, 2)
    scans, _ = find_scans(design, "development", None)
    return {
        scan.subject: read_raw_case(scan.raw, design.ingestion)
        for scan in scans.values()
        if not options.subjects or scan.subject in options.subjects
    }


def _registration(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    subjects = _subjects(options)
    for distance in options.slice_mm:
        params = ViewsParams(slice_mm=distance)
        for seed in range(options.seeds):
            views = {}
            for subject, case in subjects.items():
                views[subject] = simulate_views(case, params, 1000 * seed + int(subject))
                reference, *others = views[subject].values()
                for view in others:
                    for kind in options.kinds:
                        row = {"slice_mm": distance, "kind": kind, "subject": subject, "seed": seed}
                        yield row | _aligned(reference, view, kind, _brain(case))
            for first, second in list(zip(views, list(views)[1:], strict=False))[
                : options.strangers
            ]:
                row = {"slice_mm": distance, "kind": "stranger", "subject": first, "seed": seed}
                reference, stranger = views[first]["axial"], views[second]["coronal"]
                yield row | _aligned(reference, stranger, "rigid", np.zeros((1, 3)))
            options.strangers = 0


def _aligned(reference: Case, view: Case, kind: str, points: Array) -> dict[str, Any]:
    began, used = time.perf_counter(), time.process_time()
    found = align(reference, view, {"kind": kind})
    return {
        "plane": view.record["plane"],
        "error_mm": round(displacement_error(found.matrix, view.record[TRUTH], points), 3),
        "similarity": round(found.similarity, 3),
        "crossing": None if found.crossing is None else round(found.crossing, 3),
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - used, 1),
    }


def _brain(case: Case) -> Array:
    """Positions in the brain, mm, every thousandth voxel."""
    inside = np.argwhere(case.image.stored > 0)[::997]
    return np.asarray(nib.affines.apply_affine(case.image.affine, inside))


def _fusion(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    ways = FusionOptions(
        options.methods, options.registration, options.voxel_offset, options.images
    )
    for subject, case in _subjects(options).items():
        for distance in options.slice_mm:
            for row in measure(case, distance, ways, int(subject)):
                yield {"slice_mm": distance, "subject": subject, **row}


def _errors(rows: Sequence[Mapping[str, Any]]) -> str:
    """Table of the errors by distance of slices and kind."""
    lines = []
    for distance, kind in dict.fromkeys((row["slice_mm"], row["kind"]) for row in rows):
        own = [row for row in rows if (row["slice_mm"], row["kind"]) == (distance, kind)]
        error = np.array([row["error_mm"] for row in own])
        bar = _BARS.get(distance, 1.5)
        alike = [row["similarity"] for row in own]
        told = [error.mean(), np.median(error), error.max()]
        lines.append([
            f"{distance:g}", kind, len(own), *[f"{each:.2f}" for each in told],
            f"{(error < bar).sum()} of {len(own)} < {bar:g}", f"{min(alike):.2f}–{max(alike):.2f}",
            f"{np.mean([row['cpu_seconds'] for row in own]):.0f}",
        ])  # fmt: skip
    heads = ["slices, mm", "kind", "views", "mean, mm", "median", "largest", "good", "similarity"]
    return tabulate(lines, [*heads, "CPU, s"], "github", disable_numparse=True)


if __name__ == "__main__":
    main()
