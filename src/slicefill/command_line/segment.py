"""`slicefill segment`: label maps by a trained segmentation network."""

import argparse
import sys
from functools import partial

from slicefill.command_line.wording import CASES_LEFT_OUT, UsageError, existing, named

_DESCRIPTION = """\
Segment scans with a network that `kedro run --pipelines=comparison` has trained: a file that ends
in .pt, below data/06_models. The scan must be as dense as those that it learned from.
"""
_EXAMPLES = """\
exit status: 0 all is well, 2 wrong usage, 3 some scans were refused or failed (each is named)

example:
  slicefill segment scan.nii.gz scan_label.nii.gz --model linear/unet2d_0.pt
"""


def add_segment(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of the program."""
    segment = commands.add_parser(
        "segment",
        help="label a scan by a trained segmentation network",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    segment.add_argument("source", metavar="IN", type=existing, help="scan, folder or zip")
    segment.add_argument("out", metavar="OUT", nargs="?", type=named, help="file or folder")
    segment.add_argument("--model", type=existing, required=True, help="the network's checkpoint")
    segment.add_argument("--device", choices=("auto", "cpu", "gpu", "mps"), default="auto")
    segment.add_argument("--overwrite", action="store_true", help="replace label maps")
    segment.set_defaults(run=partial(_run, segment))


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from slicefill.batch.find import find_scans
    from slicefill.batch.segment import name_labels, segment_scans
    from slicefill.ingestion.checks import BadCase
    from slicefill.serving import case_segmenter

    try:
        predict = case_segmenter(arguments.model, arguments.device)
        with find_scans(arguments.source) as found:
            names = name_labels(arguments.source, arguments.out, found.cases)
            failed = segment_scans(found.cases, names, predict, overwrite=arguments.overwrite)
    except (UsageError, BadCase, ValueError, OSError) as error:
        parser.error(str(error))
    for case, reason in failed.items():
        print(f"{case}: {reason}", file=sys.stderr)
    for each in found.refused:
        print(f"{each.case}: refused: {each}", file=sys.stderr)
    print(f"{len(names) - len(failed)} of {len(names) + len(found.refused)} scans segmented")
    return CASES_LEFT_OUT if failed or found.refused else 0
