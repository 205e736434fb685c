"""What the product says to odd inputs: every scan is imputed and verified, refused, or left aside.

    python benchmarks/odd_inputs.py odd/*/ --out docs/results_odd_inputs.md

Each argument is one input, as a user would give it to `slicefill impute`: a file, a folder, a zip.
"""

import argparse
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from slicefill.api import imputation_params
from slicefill.batch.find import find_scans
from slicefill.batch.impute import Order, impute_scans
from slicefill.batch.pairs import list_outputs, open_sources
from slicefill.batch.table import MADE
from slicefill.batch.tasks import make_plan
from slicefill.imputation.impute import classical_imputer
from slicefill.imputation.verification import verify_imputed_case, with_grid
from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.found import Found, group_left_aside
from slicefill.params import SERIAL

_COLUMNS = ("input", "scan or file", "outcome", "what is said")
_LONGEST = 60  # characters of a name
_HEAD = """\
# Odd inputs

What `slicefill impute` makes of files with faults that people have reported about tools of this
field, and of healthy ones with odd names. *Verified*: every acquired slice of the output is
bit-identical to the input, read again, and in its place. Written by

```
{command}
```

"""
Line = tuple[str, str, str, str]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", nargs="+", type=Path, help="files, folders, zips: each by itself")
    parser.add_argument("--out", type=Path, help="a Markdown page; else it is printed")
    options = parser.parse_args(arguments)
    lines = [line for source in options.inputs for line in try_input(source)]
    page = render(lines)
    if options.out:
        options.out.write_text(page, encoding="utf-8")
    else:
        print(page)


def try_input(source: Path) -> list[Line]:
    """Impute and verify one input; a crash is an outcome as well."""
    name = _readable(source.name)
    try:
        with tempfile.TemporaryDirectory() as folder, find_scans(source) as found:
            return [(name, *rest) for rest in _impute(source, Path(folder, "out"), found)]
    except Exception as error:  # what this is to find
        kind = "refused" if type(error) in (BadCase, ValueError, FileNotFoundError) else "CRASHED"
        return [(name, "", kind, _readable(str(error).replace(f"{source.parent}/", "")))]


def _impute(source: Path, out: Path, found: Found) -> Iterator[tuple[str, str, str]]:
    params = imputation_params(device="cpu")
    order = Order(lambda rule: classical_imputer("linear", rule), params)
    rows = impute_scans(make_plan(source, out, found.cases, []), order, SERIAL, lambda _: None)
    verdicts = _verify(source, out) if any(row.status in MADE for row in rows.values()) else {}
    for name, row in rows.items():
        made = f"{row.spacing_in} → {row.spacing_out} mm, {row.slices_in} → {row.slices_out} slices"
        said = made if row.status in MADE else row.reason
        yield _readable(name), verdicts.get(name, row.status), _readable(said)
    for error in found.refused:
        yield _readable(error.case), "refused", _readable(str(error))
    for names, reason, _ in group_left_aside(found.left_aside, source):
        yield _readable(names), "left aside", _readable(reason)


def _verify(source: Path, out: Path) -> Mapping[str, str]:
    verdicts = {}
    with open_sources(source, None) as sources:
        for output in list_outputs(out):
            made, before = output.read(), sources[output.case or ""](output.labelled)
            different = verify_imputed_case(with_grid(made, before), before)
            verdicts[output.case or ""] = "DIFFERS" if different else "imputed, verified"
    return verdicts


def render(lines: Sequence[Line]) -> str:
    """Lay the lines out as a page, with a count of the outcomes first."""
    command = "python benchmarks/odd_inputs.py FOLDER/*/ --out docs/results_odd_inputs.md"
    counts = Counter(outcome for _, _, outcome, _ in lines)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    escaped = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    rows = [_COLUMNS, ["---"] * len(_COLUMNS), *escaped]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)  # without the padding of tabulate
    return f"{_HEAD.format(command=command)}{len(lines)} lines: {told}.\n\n{table}\n"


def _readable(text: str) -> str:
    """One line of UTF-8 without the path of a temporary folder, long names cut."""
    text = text.encode(errors="surrogateescape").decode(errors="replace")
    text = re.sub(r"\S*/slicefill-[\w-]+/", "", " ".join(text.split()))
    cut = re.sub(rf"(\S{{{_LONGEST - 5}}})\S{{6,}}", r"\1…", text)
    return re.sub(r"([*_`<>\[\]])", r"\\\1", cut)


if __name__ == "__main__":
    main()
