"""Command line of the library: it needs no project around it."""

import argparse
import sys
from collections.abc import Sequence

from slicefill import __version__
from slicefill.command_line.evaluate import add_evaluate
from slicefill.command_line.fuse import add_fuse
from slicefill.command_line.impute import add_impute
from slicefill.command_line.info import add_info
from slicefill.command_line.propagate import add_propagate
from slicefill.command_line.segment import add_segment
from slicefill.command_line.tune_worker import add_tune_worker
from slicefill.command_line.verify import add_verify
from slicefill.command_line.wording import prepare_streams

_DESCRIPTION = """\
Isotropic scans from anisotropic ones: the missing slices and their labels are synthesised, and
every acquired voxel is untouched.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments after the program's name; those of the process when omitted.

    Returns:
        Exit status: 0 if all is well, 130 if it was interrupted.

    Raises:
        SystemExit: With status 2 for wrong usage, 0 after `--help`.
    """
    prepare_streams()
    parser = argparse.ArgumentParser(prog="slicefill", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"slicefill {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (
        add_impute,
        add_info,
        add_verify,
        add_evaluate,
        add_fuse,
        add_propagate,
        add_segment,
        add_tune_worker,
    ):
        add(commands)
    arguments, beyond = parser.parse_known_args(argv)
    if beyond:
        files = not any(each.startswith("-") for each in beyond)
        hint = "; files, OUT among them, stand side by side, no option between them" * files
        parser.error(f"unrecognized arguments: {' '.join(beyond)}{hint}")
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
