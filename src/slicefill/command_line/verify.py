"""`slicefill verify` proves that imputing left every acquired slice untouched."""

import argparse
from functools import partial
from pathlib import Path

_IMAGE, _RECORD = "image.nii.gz", "record.json"
_SHOWN = 5  # differences printed per case

_VERIFY = """\
Compare imputed cases with the cases they were made from: every acquired slice bit for bit
(SHA-256 of the stored numbers), its place in the world, the intensity scale, the label ids and
the mask of synthetic slices. Nothing is written.

A case folder holds image.nii.gz, perhaps label.nii.gz, and record.json.
"""
_EXAMPLES = """\
exit status: 0 every case passes, 1 some differ or cannot be read, 2 wrong usage

examples:
  slicefill verify imputed/linear/case_01 --against acquired/case_01
  slicefill verify imputed --against acquired   # every imputed/<method>/<case>
  slicefill verify imputed/linear/case_01 --against scan.nii.gz --label scan_label.nii.gz
"""


class _UsageError(Exception):
    """The arguments do not fit what is on disk."""


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
        "output",
        metavar="OUTPUT",
        type=_existing,
        help="an imputed case folder, a folder of them (<method>), or a folder of those",
    )
    verify.add_argument(
        "--against",
        metavar="INPUT",
        type=_existing,
        required=True,
        help="the case folder before imputing, a folder of them (matched by folder name), or the "
        "NIfTI file of a single case",
    )
    verify.add_argument(
        "--label",
        metavar="FILE",
        type=_existing,
        help="label map that belongs to the NIfTI file INPUT; without it only the image is checked",
    )
    verify.set_defaults(run=partial(_run, verify))


def _run(verify: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    try:
        return _verify(arguments.output, arguments.against, arguments.label)
    except _UsageError as error:
        verify.error(str(error))


def _existing(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        msg = f"{path}: no such file or folder"
        raise argparse.ArgumentTypeError(msg)
    return path


def _verify(output: Path, against: Path, label: Path | None) -> int:
    """Print a line per case and a summary; the exit status."""
    cases = _case_folders(output)
    source_of = _sources(cases, output, against)
    if label is not None and not against.is_file():
        msg = f"--label belongs to a NIfTI file after --against, but {against} is a folder"
        raise _UsageError(msg)
    passed = 0
    for folder in cases:
        differences = _differences(folder, source_of[folder], label)
        _print_verdict(str(folder.relative_to(output.parent)), differences)
        passed += not differences
    ignored = " (image only: no --label given)" if against.is_file() and label is None else ""
    print(f"{passed} of {len(cases)} cases ok{ignored}")
    return int(passed < len(cases))


def _print_verdict(name: str, differences: list[str]) -> None:
    print(f"{'DIFFERS' if differences else 'ok':<8} {name}")
    for text in differences[:_SHOWN]:
        print(f"{'':<9}{text}")
    if len(differences) > _SHOWN:
        print(f"{'':<9}... and {len(differences) - _SHOWN} more")


def _case_folders(output: Path) -> list[Path]:
    """OUTPUT itself, its children or its grandchildren: whichever hold a case, even in part."""
    patterns = [depth + name for depth in ("", "*/", "*/*/") for name in (_IMAGE, _RECORD)]
    found = {path.parent for pattern in patterns for path in output.glob(pattern)}
    # A leading dot marks a case that was being written when its run stopped.
    folders = sorted(folder for folder in found if not folder.name.startswith("."))
    if not folders:
        msg = f"{output}: expected a case folder with {_IMAGE}, or a folder of them; found none"
        raise _UsageError(msg)
    return folders


def _sources(cases: list[Path], output: Path, against: Path) -> dict[Path, Path]:
    if against.is_dir() and not (against / _IMAGE).exists():
        sources = {folder: against / folder.name for folder in cases}
        if not any(source.exists() for source in sources.values()):
            msg = f"{against}: expected case folders named as in {output}, found none of them"
            raise _UsageError(msg)
        return sources
    if len(cases) > 1:
        msg = f"{output} holds {len(cases)} cases, but {against} is one; give the folder of them"
        raise _UsageError(msg)
    return {cases[0]: against}


def _differences(folder: Path, source: Path, label: Path | None) -> list[str]:
    from dataclasses import replace

    from slicefill.imputation.verification import verify_imputed_case
    from slicefill.io.case_folder import read_case, read_volume
    from slicefill.types import Case

    try:
        imputed = read_case(folder)
        if source.is_file():
            original = Case(read_volume(source), None if label is None else read_volume(label))
        else:
            original = read_case(source)
    except Exception as error:  # a damaged case must not hide the verdict on the others
        return [f"cannot be read: {error}"]
    if source.is_file() and label is None:
        imputed = replace(imputed, label=None)
    return verify_imputed_case(imputed, original)
