"""What the product says to odd inputs: every scan is imputed and verified, refused, or left aside.

    python benchmarks/odd_inputs.py odd/*/ --out docs/results_odd_inputs.md --lines now.csv
    python benchmarks/odd_inputs.py odd/*/ --out docs/results_odd_inputs.md --before earlier.csv

Each argument is one input, as a user would give it to `slicefill impute`: a file, a folder, a zip.
`--lines` writes a line per scan or file; such a table of another version is what `--before` takes.
"""

import argparse
import csv
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from slicefill.batch.find import find_scans
from slicefill.batch.impute import Order, impute_scans
from slicefill.batch.pairs import list_outputs, open_sources
from slicefill.batch.table import MADE
from slicefill.batch.tasks import make_plan
from slicefill.imputation.imputers import classical_imputer
from slicefill.imputation.verification import verify_imputed_case, with_grid
from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.found import Found, relative
from slicefill.params import SERIAL
from slicefill.params.imputation import imputation_params

_LONGEST = 60  # characters of a name
_NAMES, _INPUTS = 6, 12  # shown of those of which the same is said
_NO_WORD = "no word"
_HEAD = """\
# Odd inputs

What `slicefill impute` makes of files with faults that people have reported about tools of this
field, and of healthy ones with odd names. *Verified*: every acquired slice of the output is
bit-identical to the input, read again, and in its place. Inputs of which the same is said share a
line. {before}Written by

```
{command}
```

"""
_BEFORE = """\
*Before*: what commit 382f4ca made of the same inputs by its `kedro run --env=scans
--pipelines=imputation`, for it had no `slicefill impute`; layout `folder` where there is a folder
images/, else `dicom`. *No word*: the file was not mentioned. *DROPPED*: found, then lost without a
word.
"""


class Line(NamedTuple):
    """What is said of a scan or file.

    Attributes:
        input: The file, folder or zip that was given.
        file: Of the scan, below the input; of a series, its folder.
        name: Of the scan, or of the file that is none.
        outcome: In a word or two.
        said: Why, or what was made.
    """

    input: str
    file: str
    name: str
    outcome: str
    said: str


Row = tuple[str, str, str, str]
"""The inputs of which the same is said, what was before, what is now, what is said."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", nargs="+", type=Path, help="files, folders, zips: each by itself")
    parser.add_argument("--out", type=Path, help="a Markdown page; else it is printed")
    parser.add_argument("--lines", type=Path, help="a CSV table for --before of another call")
    parser.add_argument("--before", type=Path, help="the lines of another version, joined by file")
    options = parser.parse_args(arguments)
    lines = [line for source in options.inputs for line in try_input(source)]
    if options.lines:
        with options.lines.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([Line._fields, *lines])
    page = render(lines, read_lines(options.before) if options.before else None)
    if options.out:
        options.out.write_text(page, encoding="utf-8")
    else:
        print(page)


def read_lines(path: Path) -> list[Line]:
    """Read what `--lines` has written."""
    with path.open(encoding="utf-8", newline="") as stream:
        return [Line(**row) for row in csv.DictReader(stream)]


def try_input(source: Path) -> list[Line]:
    """Impute and verify one input; a crash is an outcome as well."""
    name = _plain(source.name)
    try:
        with tempfile.TemporaryDirectory() as folder, find_scans(source) as found:
            return [Line(name, *rest) for rest in _impute(source, Path(folder, "out"), found)]
    except Exception as error:  # what this is to find
        kind = "refused" if type(error) in (BadCase, ValueError, FileNotFoundError) else "CRASHED"
        return [Line(name, ".", "", kind, _plain(str(error).replace(f"{source.parent}/", "")))]


def _impute(source: Path, out: Path, found: Found) -> Iterator[Row]:
    params = imputation_params(device="cpu")
    order = Order(lambda rule: classical_imputer("linear", rule), params)
    rows = impute_scans(make_plan(source, out, found.cases, []), order, SERIAL, lambda _: None)
    verdicts = _verify(source, out) if any(row.status in MADE for row in rows.values()) else {}
    places = {case.id: _file(case.place, source) for case in found.cases}
    for name, row in rows.items():
        made = f"{row.spacing_in} → {row.spacing_out} mm, {row.slices_in} → {row.slices_out} slices"
        said = made if row.status in MADE else row.reason
        outcome = verdicts.get(name, row.status)
        yield places[name], _plain(name), outcome, _plain(said)
    for error in found.refused:
        place = _file(error.file, source) if error.file else "."
        yield place, _plain(error.case), "refused", _plain(error.told)
    for aside in found.left_aside:
        place = _file(aside.path, source)
        yield place, place, "left aside", _plain(aside.reason)


def _file(path: Path, source: Path) -> str:
    return _plain(relative(path, source))


def _verify(source: Path, out: Path) -> Mapping[str, str]:
    verdicts = {}
    with open_sources(source, None) as sources:
        for output in list_outputs(out):
            made, before = output.read(), sources[output.case or ""](output.labelled)
            different = verify_imputed_case(with_grid(made, before), before)
            verdicts[output.case or ""] = "DIFFERS" if different else "imputed, verified"
    return verdicts


def render(lines: Sequence[Line], before: Sequence[Line] | None = None) -> str:
    """Lay the lines out as a page, with a count of the outcomes first.

    Args:
        lines: What is said now.
        before: What another version said, joined by input and file; where that has one line for a
            whole input, by the input.
    """
    paths = "FOLDER/b FOLDER/g FOLDER/c/*/ FOLDER/d/*/"
    command = f"python benchmarks/odd_inputs.py {paths} --out docs/results_odd_inputs.md"
    command += " --before before.csv" if before is not None else ""
    columns = ["inputs", "before", "outcome", "what is said"]
    told = f"{len(lines)} lines: {_counted(line.outcome for line in lines)}.\n"
    then = [""] * len(lines)
    if before is None:
        columns.remove("before")
    else:
        then = _then(lines, before)
        told += f"\nBefore: {_counted(text.partition(':')[0] for text in then)}.\n"
    rows = [[cell for cell in row if cell or before is not None] for row in _grouped(lines, then)]
    escaped = [[_cell(cell) for cell in row] for row in rows]
    table = "\n".join(f"| {' | '.join(r)} |" for r in [columns, ["---"] * len(columns), *escaped])
    explained = "" if before is None else _BEFORE
    return f"{_HEAD.format(command=command, before=explained)}{told}\n{table}\n"


def _then(lines: Sequence[Line], before: Sequence[Line]) -> list[str]:
    """What was before of every line; with the slices where there were other numbers of them."""
    known = {(line.input, line.file): line for line in before}
    texts = []
    for line in lines:
        old = known.get((line.input, line.file)) or known.get((line.input, "."))
        text = old.outcome if old else _NO_WORD
        if old and old.outcome == line.outcome and _slices(old.said) != _slices(line.said):
            text = f"{text}: {_slices(old.said)}"
        texts.append(text)
    return texts


def _slices(said: str) -> str:
    found = re.search(r"\d+ → \d+ slices", said)
    return found[0] if found else ""


def _counted(outcomes: Iterable[str]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in Counter(outcomes).most_common())


def _grouped(lines: Sequence[Line], then: Sequence[str]) -> Iterator[Row]:
    """Join the lines of which the same is said; the outcomes that are rare come first."""
    counts = Counter(line.outcome for line in lines)
    groups: dict[tuple[str, str, str], list[Line]] = {}
    for line, old in zip(lines, then, strict=True):
        groups.setdefault((old, line.outcome, line.said), []).append(line)
    for key in sorted(groups, key=lambda each: (counts[each[1]], each[1], each[0])):
        yield _together(groups[key]), *key


def _together(lines: Sequence[Line]) -> str:
    names: dict[str, list[str]] = {}
    for line in lines:
        names.setdefault(line.input, []).append(line.name)
    inputs = [
        each if own in ([each], [""]) else f"{each}: {_first(own, _NAMES)}"
        for each, own in names.items()
    ]
    return _first(inputs, _INPUTS, "; ")


def _first(names: Sequence[str], most: int, comma: str = ", ") -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return comma.join(names[:most]) + more


def _plain(text: str) -> str:
    """One line of UTF-8 without the path of a temporary folder."""
    text = text.encode(errors="surrogateescape").decode(errors="replace")
    return re.sub(r"\S*/slicefill-[\w-]+/", "", " ".join(text.split()))


def _cell(text: str) -> str:
    """Cut long names, and escape what Markdown would take for its own."""
    cut = re.sub(rf"([^\s,]{{{_LONGEST - 5}}})[^\s,]{{6,}}", r"\1…", text)
    return re.sub(r"([*_`<>|\[\]])", r"\\\1", cut)


if __name__ == "__main__":
    main()
