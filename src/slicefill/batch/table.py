"""The table of a folder of outputs: a row for every scan, whatever became of it."""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

from slicefill.ingestion.checks import printable

Status = Literal[
    "begun", "imputed", "kept", "dense already", "refused", "failed", "left aside", "left over"
]
MADE: tuple[Status, ...] = ("imputed", "kept")
"""What a scan's status is where its output is of the last call."""


@dataclass(frozen=True)
class Row:
    """What became of a scan.

    Attributes:
        case: Its id.
        status: `begun`, and not finished; `imputed`; `kept`, imputed by an earlier call; `dense
            already`, nothing to do; `refused`, its files are at fault; `failed`, anything else;
            `left aside`, one slice alone; `left over`, imputed by an earlier call from a scan that
            the last one did not find.
        input: The file, or the folder of a DICOM series.
        input_label: Its label map, or "".
        output: The imputed image, a name in the folder of the table. Where `status` is not
            `imputed` or `kept`, an earlier call made it.
        method: Which imputed.
        spacing_in: Of its voxels along the three axes, mm, as `0.9 × 0.9 × 6`.
        spacing_out: The same of the output.
        slices_in: Acquired slices.
        slices_out: Slices of the output.
        confidence: Mean over the synthetic slices.
        seconds: From reading to writing.
        fingerprint: Of all that determines the output, and of every file of `files` that is there;
            "" where one may be of something else: a call that replaced it did not end.
        files: Names of what was written of the scan, joined by `/`, which no name holds; where
            `status` is `begun`, or `failed` in writing, what may have been.
        reason: Why there is none; of an output, what to mind about it.
    """

    case: str
    status: Status
    input: str = ""
    input_label: str = ""
    output: str = ""
    method: str = ""
    spacing_in: str = ""
    spacing_out: str = ""
    slices_in: int = 0
    slices_out: int = 0
    confidence: str = ""
    seconds: float = 0.0
    fingerprint: str = ""
    files: str = ""
    reason: str = ""

    def wrote(self, path: Path) -> bool:
        """Tell whether a file or folder is one that was written of the scan."""
        return printable(path.name) in self.files.split("/")

    def with_reason(self, text: str) -> "Row":
        """Return the row with one more reason."""
        return replace(self, reason="; ".join(filter(None, [self.reason, text])))


def tell_spacing(spacing: Iterable[float]) -> str:
    """Write a spacing, mm, as rows have it.

    Example:
        >>> tell_spacing([0.9, 0.9, 6])
        '0.9 × 0.9 × 6'
    """
    return " × ".join(f"{pitch:.3g}" for pitch in spacing)


def read_table(path: Path) -> dict[str, Row]:
    """Read the rows of a table by case; of several for one case the last counts.

    Returns:
        Nothing where there is no table.

    Raises:
        ValueError: If the file is no such table.
    """
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if {"case", "status", "fingerprint"} <= set(reader.fieldnames or ()):
                return {row["case"]: _parse(row) for row in reader}
        what = "another file"
    except (ValueError, csv.Error) as error:
        what = f"a damaged one ({error})"
    msg = f"{path}: expected the table of `slicefill impute`, got {what}; move it"
    raise ValueError(msg)


def append_row(path: Path, row: Row) -> None:
    """Add a row at once: a call that is killed, and another at the same time, lose none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", newline="", encoding="utf-8") as stream:
            stream.write(_format([], header=True))
    except FileExistsError:
        pass
    with path.open("rb") as written:  # where a disk was full, a row may be cut short
        written.seek(max(path.stat().st_size - 1, 0))
        whole = written.read() == b"\n"
    with path.open("a", newline="", encoding="utf-8") as stream:
        stream.write("" if whole else "\n")
        stream.write(_format([row], header=False))


def _format(rows: Iterable[Row], *, header: bool) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [each.name for each in fields(Row)])
    if header:
        writer.writeheader()
    for row in rows:
        values = asdict(row).items()
        writer.writerow({n: printable(v) if isinstance(v, str) else v for n, v in values})
    return text.getvalue()


def _parse(row: dict[str, str]) -> Row:
    known = {each.name: row.get(each.name) or "" for each in fields(Row)}
    numbers = {"slices_in": int, "slices_out": int, "seconds": float}
    return Row(**{n: numbers.get(n, str)(v or 0 if n in numbers else v) for n, v in known.items()})
