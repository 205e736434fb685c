"""`slicefill propagate`: labels between sparsely annotated slices of a complete scan."""

import argparse
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slicefill.command_line.wording import (
    existing,
    named,
    say_left_aside,
    say_unpaired,
    whole,
)
from slicefill.execution import CASES_LEFT_OUT

if TYPE_CHECKING:
    from slicefill.batch.propagate import Propagated
    from slicefill.ingestion.layouts import Found

_DESCRIPTION = """\
Fill the labels between annotated slices of a complete scan: every slice of the image is there, and
some of the label map (every n-th, say), on the grid of the image. Outlines follow the motion found
between the real slices, and what looks alike. Annotated slices keep their labels, voxel by voxel.

Slices that show a label count as annotated, unless --annotated or --every names them: then blank
ones among them say where a label has ended. Slices before the first and after the last annotated
one stay blank. Beside the label map, a record (.json) holds the confidence of every slice, and
those worth annotating next. SCAN and LABEL may be folders of files of the same names; what is there
already is not made again.
"""
_EXAMPLES = """\
exit status: 0 all is well, 2 wrong usage, 3 some scans were refused or failed (each is named)

examples:
  slicefill propagate brain.nii.gz brain_every8.nii.gz
  slicefill propagate brain.nii.gz brain_every8.nii.gz filled.nii.gz --every 8 --confidence
  slicefill propagate knee.nii.gz knee_seg.nii.gz --annotated 0,4,8,15
"""


def add_propagate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of the program."""
    command = commands.add_parser(
        "propagate",
        help="fill the labels between annotated slices of a complete scan",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = command.add_argument
    add("source", metavar="SCAN", type=existing, help="scan, or a folder of scans")
    add("label", metavar="LABEL", type=existing, help="label map of some slices, or a folder")
    add(
        "out",
        metavar="OUT",
        nargs="?",
        type=named,
        help="file or folder, right behind LABEL; never over an input",
    )
    known = command.add_mutually_exclusive_group()
    known.add_argument(
        "--annotated", type=_indices, metavar="N,N,…", help="annotated slices, counted from 0"
    )
    known.add_argument(
        "--every", type=whole, metavar="N", help="slices 0, N, 2N, ... are annotated"
    )
    add(
        "--axis", choices=("auto", "S", "A", "L"), default="auto",
        help="slices lie across it; auto: the axis of the named slices, or along which slices are "
        "blank",
    )  # fmt: skip
    add("--confidence", action="store_true", help="write the confidence of every voxel, 0 to 1")
    add("--overwrite", action="store_true", help="replace label maps that were made otherwise")
    add("-q", "--quiet", action="store_true", help="name only what went wrong")
    command.set_defaults(run=partial(_run, command))


def _indices(text: str) -> list[int]:
    """Read indices of slices, such as 0,4,8."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts):
        msg = f"expected slices counted from 0, such as 0,4,8, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return [int(part) for part in parts]


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from slicefill.batch.find import find_scans
    from slicefill.batch.propagate import (
        name_propagated,
        propagate_scans,
        remove_unfinished_labels,
    )
    from slicefill.fingerprint import code_fingerprint, fingerprint
    from slicefill.ingestion.checks import BadCase
    from slicefill.params.propagation import PropagationParams
    from slicefill.propagation.propagate import propagate_case

    if arguments.quiet:
        os.environ["TQDM_DISABLE"] = "1"
    params = PropagationParams(through_plane=arguments.axis)
    named_slices = {"annotated": arguments.annotated, "every": arguments.every}
    try:
        with find_scans(arguments.source, arguments.label, out=arguments.out) as found:
            names = name_propagated(arguments.source, arguments.out, found.cases)
            remove_unfinished_labels(names)
            done, failed = propagate_scans(
                found.cases,
                names,
                partial(propagate_case, params=params, **named_slices),
                rule=fingerprint(params, named_slices, code_fingerprint("slicefill.propagation")),
                overwrite=arguments.overwrite,
                confidence=arguments.confidence,
            )
    except (BadCase, ValueError, OSError) as error:
        parser.error(str(error))
    failed |= {error.case: f"refused: {error.told}" for error in found.refused}
    _report(arguments, found, names, done, failed)
    return CASES_LEFT_OUT if failed or not done else 0


def _report(
    arguments: argparse.Namespace,
    found: "Found",
    names: Mapping[str, Path],
    done: "Mapping[str, Propagated]",
    failed: Mapping[str, str],
) -> None:
    """Say what became of every scan: what went wrong on standard error, and where all is quiet."""
    for case, reason in failed.items():
        print(f"{case}: {reason}", file=sys.stderr)
    say_unpaired(found)
    for case, made in done.items():
        if made.not_of_it:
            print(f"{case}: {made.not_of_it} beside it: not of this call", file=sys.stderr)
    if arguments.quiet:
        return
    for case, made in done.items():
        told = "there already" if made.kept else _told(made.record)
        print(f"{case}: {told} → {names[case]}")
    say_left_aside(found, arguments.source)
    if len(names) > 1:
        print(f"{len(done)} of {len(done) + len(failed)} scans propagated")


def _told(record: Mapping[str, Any]) -> str:
    """Say what became of a scan, and which slices are worth annotating next."""
    sure = {one["index"]: one["confidence"] for one in record["slices"] if "between" in one}
    told = (
        f"{len(sure)} slices between {len(record['annotated'])} annotated ones across "
        f"{record['across']} (array axis {record['axis']}), confidence {min(sure.values()):.2f} or "
        "more"
    )
    beyond = sum("beyond" in one for one in record["slices"])
    told += f", {beyond} beyond them left blank" * bool(beyond)
    known = {index: f"{one:.2f}" for index, one in sure.items()}
    wanted = [f"{index} ({known.get(index, 'beyond')})" for index in record["annotate_next"]]
    return told + (f"; worth annotating next: {', '.join(wanted)}" if wanted else "")
