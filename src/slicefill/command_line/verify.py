"""`slicefill verify` proves that imputing left every acquired slice untouched."""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from slicefill.command_line.wording import UsageError, existing

if TYPE_CHECKING:
    from slicefill.batch.pairs import Output

_OK, _DIFFERS, _NONE_KEPT = "ok", "DIFFERS", "changed"
_SHOWN = 5  # differences printed per case

_VERIFY = """\
Compare imputed scans with those that they were made from: every acquired slice bit for bit
(SHA-256 of the stored numbers), its place in the world, the intensity scale, the label ids and
the mask of synthetic slices. Nothing is written.

What --orthogonal resampled, and what super-resolution replaced, has no acquired voxel to compare:
its record says so, and it is counted apart. Checked are the cases of the last call or run; what an
earlier one left over is named.

OUTPUT is a file or a folder that `slicefill impute` wrote, or case folders of a Kedro run. INPUT is
what was imputed, as it was given: files of any format, a DICOM folder, a folder; or case folders.
"""
_EXAMPLES = """\
exit status: 0 every case passes, 1 some differ or cannot be read, 2 wrong usage

examples:
  slicefill verify scan_isotropic.nii.gz --against scan.nii.gz
  slicefill verify scans_isotropic/ --against scans/
  slicefill verify imputed --against acquired   # every imputed/<method>/<case>
  slicefill verify imputed/linear/case_01 --against scan.nii.gz --label scan_label.nii.gz
"""


def add_verify(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of the program."""
    verify = commands.add_parser(
        "verify",
        help="check that every acquired slice is bit-identical and in its place",
        description=_VERIFY,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verify.add_argument(
        "output", metavar="OUTPUT", type=existing, help="imputed scan, or a folder of them"
    )
    verify.add_argument(
        "--against",
        metavar="INPUT",
        type=existing,
        required=True,
        help="the scan before imputing, or the folder of them (matched by name)",
    )
    verify.add_argument(
        "--label",
        metavar="FILE",
        type=existing,
        help="label map of a single INPUT, or a folder of label maps; without it only the image "
        "is checked where INPUT has none",
    )
    verify.set_defaults(run=partial(_run, verify))


def _run(verify: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    try:
        return _verify(arguments.output, arguments.against, arguments.label)
    except UsageError as error:
        verify.error(str(error))


def _verify(output: Path, against: Path, label: Path | None) -> int:
    """Print a line per case and a summary; the exit status."""
    from slicefill.batch.pairs import list_left_over, list_outputs, match_sources, open_sources

    verdicts = []
    try:
        outputs, left = list_outputs(output), list_left_over(output)
        with open_sources(against, label) as sources:
            readers = match_sources(outputs, sources, output, against)
            for each in outputs:
                verdicts.append(_compare(each, readers[each.name]))
                _print_verdict(each.name, verdicts[-1])
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    without = sources.keys() - {each.case for each in outputs}
    if len(sources) > 1 and without:
        print(f"{len(without)} of INPUT have no output: {', '.join(sorted(without)[:5])}")
    for name, reason in left.items():
        print(f"left over {name}: {reason}; not compared, remove it if it is of no use")
    counts = Counter(verdict.kind for verdict in verdicts)
    image_only = sum(verdict.image_only for verdict in verdicts)
    ignored = f" ({image_only} image only: INPUT has no label map)" if image_only else ""
    changed = f", {counts[_NONE_KEPT]} not comparable" if counts[_NONE_KEPT] else ""
    stale = f", {len(left)} left over from an earlier run" if left else ""
    print(f"{counts[_OK]} of {len(outputs)} cases ok{changed}{stale}{ignored}")
    return int(counts[_DIFFERS] > 0 or not outputs)


class _Verdict(NamedTuple):
    """What came of comparing a case; whether it had to leave out the label map."""

    kind: str
    texts: Sequence[str] = ()
    image_only: bool = False


def _print_verdict(name: str, verdict: _Verdict) -> None:
    print(f"{verdict.kind:<8} {name}")
    for text in verdict.texts[:_SHOWN]:
        print(f"{'':<9}{text}")
    if len(verdict.texts) > _SHOWN:
        print(f"{'':<9}... and {len(verdict.texts) - _SHOWN} more")


def _compare(output: "Output", read: Callable[[bool], Any] | None) -> _Verdict:
    """Compare an output with its source, as far as its record claims to keep it."""
    from dataclasses import replace

    from slicefill.imputation.verification import verify_imputed_case, with_grid
    from slicefill.views.canvas import reference_part

    if read is None:
        return _Verdict(_DIFFERS, [f"cannot be compared: INPUT has no scan {output.case}"])
    try:
        imputed, source = output.read(), read(output.labelled)
    except Exception as error:  # a damaged case must not hide the verdict on the others
        return _Verdict(_DIFFERS, [f"cannot be read: {error}"])
    kept = imputed.record.get("acquired_slices", "kept")
    if kept != "kept":
        return _Verdict(_NONE_KEPT, [f"its record says that acquired slices were {kept}"])
    alone = source.label is None and imputed.label is not None
    if alone:
        imputed = replace(imputed, label=None)
    own = reference_part(imputed, source)  # of views that were fused by `--field union`
    differences = verify_imputed_case(with_grid(own, source), source)
    return _Verdict(_DIFFERS if differences else _OK, differences, alone)
