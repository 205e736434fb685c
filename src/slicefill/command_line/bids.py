"""`slicefill-bids` imputes a BIDS data set, called as a BIDS App is."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slicefill import __version__
from slicefill.command_line.wording import (
    UsageError,
    existing,
    prepare_streams,
)
from slicefill.execution import CASES_LEFT_OUT

if TYPE_CHECKING:
    from slicefill.batch.bids import Outcome
    from slicefill.imputation.imputers import Imputer
    from slicefill.params import ImputationParams

_DESCRIPTION = """\
Impute the slices between the acquired slices of the scans of a BIDS data set, and their label maps
in derivatives/. Outputs are a BIDS derivative data set: *_desc-imputed_<suffix>.nii.gz and
*_desc-imputed_dseg.nii.gz with sidecars. Scans that are imputed already are left as they are.
"""
_EXAMPLES = """\
exit status: 0 all is well, 2 wrong usage, 3 some scans were refused (each is named with what to do)

examples:
  slicefill-bids /data /data/derivatives/slicefill participant
  slicefill-bids /data /out participant --participant-label 01 02 --suffix T2w FLAIR --spacing 1
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the BIDS App.

    Args:
        argv: Arguments after the program's name; those of the process when omitted.

    Returns:
        Exit status: 0, 3 if scans were refused, or 130 if it was interrupted.

    Raises:
        SystemExit: With status 2 for wrong usage, 0 after `--help` and `--version`.
    """
    prepare_streams()
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        return _participants(arguments)
    except (UsageError, OSError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("stopped; what is finished is kept, and the same command goes on", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slicefill-bids",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bids_dir", type=existing, help="the data set; nothing is written to it")
    parser.add_argument("output_dir", type=Path, help="the derivative data set")
    parser.add_argument("analysis_level", choices=["participant"])
    for name, what in (("participant", "subjects"), ("session", "sessions")):
        parser.add_argument(
            f"--{name}-label",
            f"--{name}_label",
            nargs="+",
            metavar="LABEL",
            help=f"only these {what}, with or without the prefix",
        )
    parser.add_argument("--suffix", nargs="+", default=["T2w"], help="of the scans; default T2w")
    parser.add_argument("--method", default="pretrained", help="default: the shipped weights")
    grid = parser.add_mutually_exclusive_group()
    grid.add_argument("--spacing", type=float, help="mm between slices wanted; default isotropic")
    grid.add_argument("--count", type=int, help="synthetic slices per interval")
    parser.add_argument("--axis", choices=["auto", "S", "A", "L"], default="auto")
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu or mps")
    parser.add_argument("-v", "--version", action="version", version=f"slicefill {__version__}")
    return parser


def _participants(arguments: argparse.Namespace) -> int:
    from slicefill.batch.bids import impute_scans
    from slicefill.io.bids_derivatives import write_description

    bids, out = arguments.bids_dir.resolve(), arguments.output_dir.resolve()
    if bids == out:
        msg = f"{bids}: expected a folder of their own for the outputs, such as "
        msg += f"{bids}/derivatives/slicefill"
        raise UsageError(msg)
    images, rule = _images(bids, arguments), _rule(arguments)
    write_description(bids, out)
    counts = _show(impute_scans(images, bids, out, *rule), bids)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    print(f"{told}; results: {out}")
    return CASES_LEFT_OUT if counts["refused"] else 0


def _rule(arguments: argparse.Namespace) -> tuple["Imputer", "ImputationParams"]:
    from slicefill.imputation.imputers import load_named
    from slicefill.params.imputation import imputation_params

    given = {name: getattr(arguments, name) for name in ("spacing", "count", "axis", "device")}
    try:
        params = imputation_params(**given)
        return load_named(arguments.method, params), params
    except ValueError as error:
        raise UsageError(str(error)) from error


def _images(bids: Path, arguments: argparse.Namespace) -> list[Path]:
    """List the scans that are asked for.

    Raises:
        UsageError: If there is none, or a subject or session that was named is not there.
    """
    from slicefill.ingestion.suffixes import is_hidden

    found = [*bids.glob("sub-*/anat/*.nii*"), *bids.glob("sub-*/ses-*/anat/*.nii*")]
    folders = {name for path in found for name in path.relative_to(bids).parts[:-2]}
    _refuse_unknown("--participant-label", arguments.participant_label, "sub-", folders)
    _refuse_unknown("--session-label", arguments.session_label, "ses-", folders)
    shown = sorted(path for path in found if not is_hidden(path))
    chosen = [path for path in shown if _is_chosen(path, arguments)]
    images = [path for path in chosen if _suffix(path) in arguments.suffix]
    if not images:
        wanted = f"sub-*/[ses-*/]anat/*_{{{','.join(arguments.suffix)}}}.nii[.gz]"
        msg = f"{bids}: expected {wanted}, found scans with the suffixes "
        msg += f"{_listed({_suffix(path) for path in chosen})}; name one with --suffix"
        raise UsageError(msg)
    return images


def _refuse_unknown(
    option: str, labels: Sequence[str] | None, prefix: str, folders: set[str]
) -> None:
    known = {name for name in folders if name.startswith(prefix)}
    if missing := _prefixed(labels, prefix) - known:
        msg = f"{option}: expected one of {_listed(known)}, got {_listed(missing)}"
        raise UsageError(msg)


def _is_chosen(path: Path, arguments: argparse.Namespace) -> bool:
    entities = path.name.split("_")
    wanted = [(arguments.participant_label, "sub-"), (arguments.session_label, "ses-")]
    return all(
        labels is None or not _prefixed(labels, prefix).isdisjoint(entities)
        for labels, prefix in wanted
    )


def _prefixed(labels: Sequence[str] | None, prefix: str) -> set[str]:
    return {prefix + label.removeprefix(prefix) for label in labels or ()}


def _suffix(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii").rpartition("_")[2]


def _listed(names: set[str] | Sequence[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _show(outcomes: Iterable["Outcome"], bids: Path) -> "Counter[str]":
    """Print a line for each scan; how many came to what."""
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        words = f": {outcome.words}" if outcome.words else ""
        file = sys.stderr if outcome.kind == "refused" else sys.stdout
        print(f"{outcome.kind:<10} {outcome.image.relative_to(bids)}{words}", file=file, flush=True)
        counts[outcome.kind] += 1
    return counts
