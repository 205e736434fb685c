"""`slicefill segment`: label maps by a trained segmentation network."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from slicefill.command_line.wording import (
    UsageError,
    existing,
    named,
    positive,
    say_left_aside,
    whole,
)
from slicefill.execution import CASES_LEFT_OUT

if TYPE_CHECKING:
    from slicefill.types import Case, Prediction

_DESCRIPTION = """\
Segment scans with a trained network: a checkpoint of `kedro run --pipelines=segmentation` or
`comparison` (a file that ends in .pt, below data/06_models), a folder of nnU-Net's results, a
TorchScript file, or module:function. The slices of the scan must lie as far apart as those that it
learned from.

With --isotropic, labels lie on the isotropic grid of the scan: the network segments the imputed
scan, and the acquired slices, whose labels move with the image; the mean of both is taken. Beside
the labels, ..._confidence.nii.gz holds the probability of each.
"""
_EXAMPLES = """\
exit status: 0 all is well, 2 wrong usage, 3 some scans were refused or failed (each is named)

examples:
  slicefill segment scan.nii.gz scan_label.nii.gz --model none/unet2d_0.pt
  slicefill segment scan.nii.gz --model none/unet2d_0.pt --isotropic
  slicefill segment scans/ --model nnUNetTrainer__nnUNetPlans__3d_fullres --isotropic --spacing 1
"""


def add_segment(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of the program."""
    segment = commands.add_parser(
        "segment",
        help="label a scan by a trained segmentation network, isotropically if asked",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    segment.add_argument("source", metavar="IN", type=existing, help="scan, folder or zip")
    segment.add_argument("out", metavar="OUT", nargs="?", type=named, help="file or folder")
    segment.add_argument("--model", required=True, help="the network")
    segment.add_argument(
        "--isotropic", action="store_true", help="labels at every slice of the isotropic grid"
    )
    segment.add_argument(
        "--method",
        help="with --isotropic: pretrained (default), linear, shape_based, ... or a checkpoint, as "
        "of slicefill impute",
    )
    grid = segment.add_mutually_exclusive_group()
    grid.add_argument(
        "--count", type=whole, metavar="N", help="with --isotropic: new slices in every interval"
    )
    grid.add_argument(
        "--spacing", type=positive, metavar="MM", help="with --isotropic: of slices, as near as can"
    )
    segment.add_argument("--device", choices=("auto", "cpu", "gpu", "mps"), default="auto")
    segment.add_argument("--overwrite", action="store_true", help="replace label maps")
    segment.set_defaults(run=partial(_run, segment))


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from slicefill.batch.find import find_scans
    from slicefill.batch.segment import name_labels, segment_scans
    from slicefill.ingestion.checks import BadCase

    isotropic = arguments.isotropic
    try:
        predict = _segmenter(arguments)
        with find_scans(arguments.source, out=arguments.out) as found:
            names = name_labels(arguments.source, arguments.out, found.cases, isotropic=isotropic)
            failed = segment_scans(
                found.cases,
                names,
                predict,
                overwrite=arguments.overwrite,
                confidence=isotropic,
            )
    except (UsageError, BadCase, ValueError, OSError, ModuleNotFoundError) as error:
        parser.error(str(error))
    for case, reason in failed.items():
        print(f"{case}: {reason}", file=sys.stderr)
    for each in found.refused:
        print(f"{each.case}: refused: {each.told}", file=sys.stderr)
    say_left_aside(found, arguments.source)
    done = [path for case, path in names.items() if case not in failed]
    place = f" → {done[0] if len(done) == 1 else done[0].parent}" if done else ""
    print(f"{len(done)} of {len(names) + len(found.refused)} scans segmented{place}")
    return CASES_LEFT_OUT if failed or found.refused else 0


def _segmenter(arguments: argparse.Namespace) -> "Callable[[Case], Prediction]":
    from slicefill.params.imputation import imputation_params
    from slicefill.serving import case_segmenter, isotropic_segmenter

    grid = {"count": arguments.count, "spacing": arguments.spacing}
    if arguments.isotropic:
        params = imputation_params(**grid, device=arguments.device)
        return isotropic_segmenter(arguments.model, arguments.method or "pretrained", params)
    given = [name for name, value in {**grid, "method": arguments.method}.items() if value]
    if given:
        msg = f"--{given[0]}: expected --isotropic beside it; labels lie on acquired slices"
        raise UsageError(msg)
    return case_segmenter(arguments.model, arguments.device)
