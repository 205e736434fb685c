"""Options and words that the commands share."""

import argparse
import io
import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slicefill.ingestion.layouts import Found
    from slicefill.params import ImputationParams

_MINUTES = {"": 1.0, "s": 1 / 60, "sec": 1 / 60, "m": 1.0, "min": 1.0, "h": 60.0}


class UsageError(Exception):
    """The arguments do not fit each other, or what is on disk."""


def prepare_streams() -> None:
    """See to it that what is said ends no command.

    A stream may be closed, lack a sign, or lead to a program that has read enough (`| head`).
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, io.StringIO())
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
            if stream is getattr(sys, f"__{name}__"):
                setattr(sys, name, _patient(stream))


class _PatientFile(io.FileIO):
    """A file that takes what nobody reads any more."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            return len(data)


def _patient(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    file = _PatientFile(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        file if stream.write_through else io.BufferedWriter(file),  # python -u
        stream.encoding,
        stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def existing(text: str) -> Path:
    """Return a path that exists."""
    path = Path(text)
    if not text:
        msg = "expected a file or folder, got an empty name"
        raise argparse.ArgumentTypeError(msg)
    try:
        there = path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        msg = f"{path}: {error.strerror}"
        raise argparse.ArgumentTypeError(msg) from error
    if not there:
        msg = f"{path}: no such file or folder"
        raise argparse.ArgumentTypeError(msg)
    return path


def named(text: str) -> Path:
    """Return a path that need not exist."""
    if not text:
        msg = "expected a name, got an empty one"
        raise argparse.ArgumentTypeError(msg)
    return Path(text)


def whole(text: str) -> int:
    """Return a whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        msg = f"expected a whole number of 1 or more, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def minutes(text: str) -> float:
    """Return a time in minutes.

    Example:
        >>> minutes("5min"), minutes("90s"), minutes("2")
        (5.0, 1.5, 2.0)
    """
    found = re.fullmatch(r"([\d.]+)\s*([a-z]*)", text.strip().lower())
    if not found or found[2] not in _MINUTES:
        msg = f"expected a time such as 5min, 90s or 1h, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return positive(found[1]) * _MINUTES[found[2]]


def positive(text: str) -> float:
    """Return a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        msg = f"expected a number above 0, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return number


def add_method_options(command: argparse.ArgumentParser) -> None:
    """Add how scans are imputed: method, grid, axis, device, adaptation."""
    command.add_argument(
        "--method",
        default="pretrained",
        help="pretrained: the shipped weights (default); sharp: the same with sharper detail; "
        "nearest, linear, cubic, bspline, shape_based, shape_matched; dis: optical flow; or a "
        "checkpoint, a file that ends in .pt",
    )
    command.add_argument(
        "--quality",
        choices=("fast", "good", "best", "saint"),
        default="fast",
        help="good: the image is also seen in sagittal and coronal planes, several times slower; "
        "best: what sees them learns from the scan first, two or three minutes more; saint: SAINT "
        "sees them, which learned from CT, slower still (pip install 'slicefill[saint]')",
    )
    _add_grid_options(command)
    command.add_argument(
        "--axis",
        choices=("auto", "S", "A", "L"),
        default="auto",
        help="slices lie across it; auto: the largest spacing",
    )
    command.add_argument(
        "--adapt",
        type=minutes,
        metavar="TIME",
        help="first let the shipped weights learn from these scans, such as 5min",
    )
    command.add_argument(
        "--device", choices=("auto", "cpu", "gpu", "mps"), default="auto", help="where it runs"
    )


def _add_grid_options(command: argparse.ArgumentParser) -> None:
    """Add which slices are wanted, and how many are too many."""
    grid = command.add_mutually_exclusive_group()
    grid.add_argument("--count", type=whole, metavar="N", help="synthetic slices in every interval")
    grid.add_argument(
        "--spacing",
        type=positive,
        metavar="MM",
        help="distance of slices that is wanted, mm; the nearest one that keeps acquired slices. "
        "Without it and --count: the grid nearest to isotropic",
    )
    command.add_argument(
        "--exact",
        action="store_true",
        help="exactly --spacing: acquired slices stay only where they fall on the grid; the record "
        "says which, and is written",
    )
    command.add_argument(
        "--orthogonal",
        action="store_true",
        help="resample sheared grids (a tilted gantry), which ITK cannot open, onto axes at right "
        "angles: their acquired voxels change; the record says so, and is written",
    )
    command.add_argument(
        "--most-slices",
        type=int,
        metavar="N",
        help="refuse scans that would have more slices; default 2000",
    )
    command.add_argument(
        "--most-gb",
        type=positive,
        metavar="GB",
        help="refuse scans whose outputs would be larger before compression; default 4",
    )


def quiet_or_verbose(command: argparse.ArgumentParser) -> None:
    """Add how much is said."""
    said = command.add_mutually_exclusive_group()
    said.add_argument("-q", "--quiet", action="store_true", help="name only what went wrong")
    said.add_argument("-v", "--verbose", action="store_true", help="say what is being done")


def set_up_logging(arguments: argparse.Namespace) -> None:
    """Log to standard error: from INFO on with --verbose, else errors alone."""
    level = logging.INFO if arguments.verbose else logging.ERROR
    logging.basicConfig(level=level, format="%(message)s")


def say_left_aside(found: "Found", source: Path) -> None:
    """Print which files at a source are no scans, a line per reason."""
    from slicefill.ingestion.found import group_left_aside

    for names, reason, _ in group_left_aside(found.left_aside, source):
        print(f"left aside: {names}: {reason}")


def say_unpaired(found: "Found") -> None:
    """Name the label maps of a folder that no scan uses, on standard error."""
    from slicefill.ingestion.checks import printable

    for each in found.unpaired:
        print(f"label map {printable(each.path.name)}: {each.reason}", file=sys.stderr)


def rule_of(arguments: argparse.Namespace) -> "ImputationParams":
    """Return the parameters of imputation that the options ask for.

    Raises:
        UsageError: If a value does not fit.
    """
    from slicefill.params.imputation import imputation_params

    limits = {name: getattr(arguments, name) for name in ("most_slices", "most_gb")}
    try:
        return imputation_params(
            **{name: limit for name, limit in limits.items() if limit is not None},
            exact=arguments.exact,
            orthogonal=arguments.orthogonal,
            spacing=arguments.spacing,
            count=arguments.count,
            axis=arguments.axis,
            device=arguments.device,
            quality=arguments.quality,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
