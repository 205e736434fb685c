"""Command line: `slicefill verify` and `slicefill tune-worker`."""

import argparse
from collections.abc import Sequence

from slicefill.command_line.tune_worker import add_tune_worker
from slicefill.command_line.verify import add_verify


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments after the program's name; those of the process when omitted.

    Returns:
        Exit status: 0 if all is well.

    Raises:
        SystemExit: With status 2 for wrong usage, 0 after `--help`.
    """
    parser = argparse.ArgumentParser(prog="slicefill", description="Slicefill's tools.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_verify(commands)
    add_tune_worker(commands)
    arguments = parser.parse_args(argv)
    return int(arguments.run(arguments))
