"""`slicefill impute`: scans in, isotropic scans out."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from slicefill.command_line.wording import (
    UsageError,
    add_method_options,
    existing,
    named,
    quiet_or_verbose,
    rule_of,
    say_left_aside,
    say_unpaired,
    set_up_logging,
    whole,
)
from slicefill.execution import CASES_LEFT_OUT

if TYPE_CHECKING:
    from slicefill.batch.impute import Order
    from slicefill.batch.table import Row
    from slicefill.batch.tasks import Plan
    from slicefill.ingestion.layouts import Found

_DESCRIPTION = """\
Synthesise the slices between the acquired slices of a scan, and their labels. Every acquired voxel
stays as it is, to the bit, and in its place.

IN is a file (NIfTI, NRRD, MHA/MHD, GIPL, MGZ), a DICOM folder or zip, a folder of any of these, or
a BIDS or MSD data set. One file in, one file out: scan.nii.gz gives scan_isotropic.nii.gz beside
it. A folder gives a folder: scans/ gives scans_isotropic/ with a table, slicefill.csv; what is
there already is not made again.
"""
_EXAMPLES = """\
exit status: 0 all is well, 2 wrong usage, 3 some scans were refused or failed (each is named)

examples:
  slicefill impute brain.nii.gz
  slicefill impute brain.nii.gz brain_1mm.nii.gz --spacing 1.0 --label brain_seg.nii.gz
  slicefill impute scans/ --spacing 1.0 --exact   # 1 mm, no matter where acquired slices lie
  slicefill impute dicom_folder/ --fill-missing   # a series that lacks slices
  slicefill impute dicom_folder/ out/ --mask --confidence --record
  slicefill impute scans/ --jobs 4 --method cubic
  slicefill impute scans/ --dry-run
"""


def add_impute(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of the program."""
    impute = commands.add_parser(
        "impute",
        help="make scans isotropic: synthesise the missing slices and their labels",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    impute.add_argument("source", metavar="IN", type=existing, help="scan, folder or zip")
    impute.add_argument(
        "out", metavar="OUT", nargs="?", type=named, help="file or folder; never over the input"
    )
    labels = impute.add_mutually_exclusive_group()
    labels.add_argument(
        "--no-label", action="store_true", help="impute images alone, whatever lies beside them"
    )
    labels.add_argument(
        "--label",
        metavar="FILE",
        type=existing,
        help="label map of the scan (or a folder of label maps of the same names): imputed too, as "
        "..._label",
    )
    add_method_options(impute)
    impute.add_argument("--mask", action="store_true", help="write which slices are synthetic")
    impute.add_argument("--confidence", action="store_true", help="write the confidence, 0 to 1")
    impute.add_argument("--record", action="store_true", help="write how each slice came about")
    impute.add_argument(
        "--fill-missing",
        action="store_true",
        help="impute slices that a DICOM series lacks, or that its uneven steps leave out, at "
        "their true positions; without it, such a series is refused. The record says which, and "
        "is written",
    )
    impute.add_argument("--dicom", action="store_true", help="DICOM in: a derived series, too")
    impute.add_argument("--jobs", type=whole, default=1, metavar="N", help="scans at the same time")
    impute.add_argument("--overwrite", action="store_true", help="replace outputs made otherwise")
    impute.add_argument("--dry-run", action="store_true", help="say what would be done")
    quiet_or_verbose(impute)
    impute.set_defaults(run=partial(_run, impute))


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    if arguments.adapt is not None and arguments.method != "pretrained":
        parser.error("--adapt: the shipped weights learn; leave --method out")
    if arguments.exact and arguments.dicom:
        parser.error("--dicom: a series holds every acquired slice; leave --exact or --dicom out")
    if arguments.orthogonal and arguments.dicom:
        parser.error("--dicom: a series keeps its grid; leave --orthogonal or --dicom out")
    if arguments.quiet:
        os.environ["TQDM_DISABLE"] = "1"
    set_up_logging(arguments)
    try:
        return _impute(arguments)
    except UsageError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("stopped; what is finished is kept, and the same command goes on", file=sys.stderr)
        return 130


def _impute(arguments: argparse.Namespace) -> int:
    from slicefill.batch.find import find_scans
    from slicefill.ingestion.checks import BadCase

    began = time.monotonic()
    try:
        with find_scans(
            arguments.source,
            arguments.label,
            labelled=not arguments.no_label,
            out=arguments.out,
        ) as found:
            plan = _plan(arguments, found)
            rows = _rehearse(arguments, plan) if arguments.dry_run else _work(arguments, plan)
            return _conclude(arguments, plan, found, rows, time.monotonic() - began)
    except (BadCase, ValueError, OSError) as error:
        raise UsageError(str(error)) from error


def _plan(arguments: argparse.Namespace, found: "Found") -> "Plan":
    from slicefill.batch.tasks import FURTHER, make_plan

    if not found.cases and not found.refused:
        told = "; ".join(f"{each.path.name}: {each.reason}" for each in found.left_aside[:5])
        msg = f"{arguments.source}: expected a scan, found none ({told or 'nothing'})"
        raise UsageError(msg)
    # Nothing else says which slices are acquired, or that none is.
    arguments.record |= arguments.exact or arguments.orthogonal or arguments.fill_missing
    further = [name for name in FURTHER if getattr(arguments, name)]
    plan = make_plan(arguments.source, arguments.out, found.cases, further)
    return replace(plan, refused={error.case: error.told for error in found.refused})


def _order(arguments: argparse.Namespace, plan: "Plan") -> "Order":
    from slicefill.batch.impute import Order
    from slicefill.imputation.imputers import Imputer, load_named
    from slicefill.params import ImputationParams

    rule = rule_of(arguments)
    load: Callable[[ImputationParams], Imputer] = partial(load_named, arguments.method)
    if arguments.adapt is not None and arguments.dry_run:
        _say(arguments, f"before: up to {arguments.adapt:g} minutes of adaptation")
    elif arguments.adapt is not None:
        from slicefill.batch.adapt import adapted_loader

        say, fill = partial(_say, arguments), arguments.fill_missing
        load = adapted_loader(plan, rule, arguments.adapt, say, fill_missing=fill)
    return Order(load, rule, arguments.overwrite, arguments.fill_missing)


def _work(arguments: argparse.Namespace, plan: "Plan") -> Mapping[str, "Row"]:
    from slicefill.batch.impute import impute_scans
    from slicefill.batch.left_over import remove_unfinished_outputs
    from slicefill.params import SERIAL, ExecutorParams

    executor = SERIAL
    if arguments.jobs > 1:
        executor = ExecutorParams(
            kind="processes", workers=arguments.jobs, scheduler=None, attempts=2
        )

    if unfinished := remove_unfinished_outputs(plan):
        _say(arguments, f"removed {unfinished} unfinished output(s) of a call that was killed")

    def report(row: "Row") -> None:
        _tell(arguments, row, _line(row))

    return impute_scans(plan, _order(arguments, plan), executor, report)


def _rehearse(arguments: argparse.Namespace, plan: "Plan") -> Mapping[str, "Row"]:
    from slicefill.batch.rehearse import rehearse_scans

    if arguments.quality == "best":
        _say(arguments, "on top of each time: two or three minutes in which planes learn")
    return rehearse_scans(plan, _order(arguments, plan), partial(_tell, arguments))


def _tell(arguments: argparse.Namespace, row: "Row", text: str) -> None:
    """Print a line on a scan: what went wrong on standard error, and also where all is quiet."""
    from tqdm import tqdm

    wrong = row.status in ("refused", "failed")
    if wrong or not arguments.quiet:
        tqdm.write(text, file=sys.stderr if wrong else sys.stdout)


def _say(arguments: argparse.Namespace, text: str) -> None:
    if not arguments.quiet:
        print(text)


def _line(row: "Row") -> str:
    """One line on what became of a scan."""
    if row.status == "imputed":
        mind = f"; {row.reason}" if row.reason else ""
        confident = f", confidence {row.confidence}" if row.confidence else ""
        return (
            f"{row.case}: {row.spacing_in} → {row.spacing_out} mm, {row.slices_in} → "
            f"{row.slices_out} slices{confident}, {row.seconds:.1f} s → {row.output}{mind}"
        )
    if row.status == "kept":
        return f"{row.case}: there already → {row.output}"
    stale = f"; {row.output} of an earlier call is left over" if row.output else ""
    return f"{row.case}: {row.status}: {row.reason}{stale}"


def _conclude(
    arguments: argparse.Namespace,
    plan: "Plan",
    found: "Found",
    rows: Mapping[str, "Row"],
    seconds: float,
) -> int:
    """Name what was refused and left aside, and count everything."""
    for error in found.refused:
        print(f"{error.case}: refused: {error.told}", file=sys.stderr)
    say_unpaired(found)
    statuses = [row.status for row in rows.values()]
    refused = statuses.count("refused") + len(found.refused)
    failed = statuses.count("failed")
    if not arguments.quiet:
        say_left_aside(found, arguments.source)
        if arguments.label is not None and (bare := [c.id for c in found.cases if not c.label]):
            first = ", ".join(bare[:5]) + ", …" * (len(bare) > 5)
            print(f"{len(bare)} without a label map of their name in {arguments.label}: {first}")
        would = "to impute" if arguments.dry_run else "imputed"
        counts = {
            would: statuses.count("imputed"),
            "there already": statuses.count("kept"),
            "dense already": statuses.count("dense already"),
            "refused": refused,
            "failed": failed,
            "left aside": len(found.left_aside) + statuses.count("left aside"),
        }
        told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        total = len(rows) + len(found.refused)
        print(f"{total} scan{'s' * (total != 1)}: {told or 'none'}; {seconds:.1f} s")
        if {"imputed", "kept"} & set(statuses) and not arguments.dry_run:
            print(f"results: {plan.place.resolve()}")
    nothing = set(statuses) == {"left aside"}  # every scan has one slice
    return CASES_LEFT_OUT if refused or failed or nothing else 0
