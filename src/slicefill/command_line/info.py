"""`slicefill info`: what a scan is, what would happen to it, and what is odd about it."""

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING

from slicefill.command_line.wording import existing, say_left_aside
from slicefill.execution import CASES_LEFT_OUT

if TYPE_CHECKING:
    from slicefill.ingestion.layouts import RawCase

_EXAMPLES = """\
exit status: 0 every scan can be imputed, 2 wrong usage, 3 some cannot (each is named)

examples:
  slicefill info scan.nii.gz
  slicefill info dicom_folder/
"""


def add_info(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of the program."""
    info = commands.add_parser(
        "info",
        help="what a scan is, what would happen to it, what is odd about it",
        description="Describe scans as `slicefill impute` would read them. Nothing is written.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    info.add_argument("source", metavar="SCAN", type=existing, help="scan, folder or zip")
    info.set_defaults(run=partial(_run, info))


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from slicefill.batch.find import find_scans
    from slicefill.ingestion.checks import BadCase

    try:
        with find_scans(arguments.source) as found:
            outcomes = {_describe(each) for each in found.cases}
            for error in found.refused:
                print(f"{error.case}: refused: {error.told}", file=sys.stderr)
            say_left_aside(found, arguments.source)
    except (BadCase, ValueError, OSError) as error:
        parser.error(str(error))
    nothing = outcomes == {"left aside"}  # every scan has one slice
    return CASES_LEFT_OUT if found.refused or "refused" in outcomes or nothing else 0


def _describe(raw: "RawCase") -> str:
    """Print what a scan is; what imputing it would come to."""
    from slicefill.batch.describe import describe_scan
    from slicefill.ingestion.checks import ONE_SLICE, BadCase, OneSlice

    print(raw.id)
    try:
        described, accepted = describe_scan(raw)
        for name, value in described.items():
            print(f"  {name:<12} {value}")
        return "accepted" if accepted else "refused"
    except OneSlice:
        print(f"  left aside   {ONE_SLICE}")
        return "left aside"
    except BadCase as error:
        print(f"  refused      {error.told}")
        return "refused"
