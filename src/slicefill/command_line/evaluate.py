"""`slicefill evaluate`: scores of synthetic slices as a table."""

import argparse
import math
from functools import partial
from pathlib import Path

from slicefill.command_line.wording import UsageError, existing
from slicefill.execution import CASES_LEFT_OUT

_DESCRIPTION = """\
Score the synthetic slices of imputed scans against the dense scans whose slices were removed.
Acquired slices are in an imputed scan to the bit; they are recognised by that and not scored.
"""
_EXAMPLES = """\
exit status: 0 all is well, 2 wrong usage, 3 some scans could not be scored (each is named), or none

examples:
  slicefill evaluate dense.nii.gz thick_isotropic.nii.gz
  slicefill evaluate dense/ thick_isotropic/ --csv scores.csv
"""
_SHOWN = ("psnr_body", "ssim_body", "mae_body", "dice_mean", "volume_bias_mean", "assd_mean")


def add_evaluate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of the program."""
    evaluate = commands.add_parser(
        "evaluate",
        help="score synthetic slices against the truth",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    evaluate.add_argument("truth", metavar="TRUTH", type=existing, help="dense scan, or a folder")
    evaluate.add_argument("imputed", metavar="IMPUTED", type=existing, help="as `impute` wrote it")
    evaluate.add_argument("--label", type=existing, help="label map(s) of TRUTH")
    evaluate.add_argument("--csv", type=_csv, help="write every score to this file, too")
    evaluate.set_defaults(run=partial(_run, evaluate))


def _csv(text: str) -> Path:
    """Return a path for a table: nothing else is overwritten by mistake."""
    if not text.lower().endswith(".csv"):
        msg = f"expected a name that ends in .csv, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return Path(text)


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    try:
        if arguments.csv is not None:
            _refuse_foreign(arguments.csv)
        scores, failed = _score(arguments)
        if arguments.csv is not None:
            _write_csv(scores, arguments.csv)
    except (UsageError, ValueError, OSError) as error:
        parser.error(str(error))
    _print_table(scores)
    for name, reason in failed.items():
        print(f"{name}: not scored: {reason}")
    if not scores:
        print("nothing was scored")
    return CASES_LEFT_OUT if failed or not scores else 0


def _score(
    arguments: argparse.Namespace,
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Return the scores, and the reason of each failure, by the name of the output."""
    from slicefill.batch.pairs import list_outputs, match_sources, open_sources
    from slicefill.metrics.matching import score_against_truth

    scores, failed = {}, {}
    outputs = list_outputs(arguments.imputed)
    with open_sources(arguments.truth, arguments.label) as truths:
        without = truths.keys() - {each.case for each in outputs}
        if len(truths) > 1 and without:
            print(f"{len(without)} of TRUTH have no output: {', '.join(sorted(without)[:5])}")
        matched = match_sources(outputs, truths, arguments.imputed, arguments.truth)
        for output in outputs:
            read = matched[output.name]
            try:
                if read is None:
                    failed[output.name] = f"TRUTH has no scan {output.case}"
                    continue
                scores[output.name] = score_against_truth(output.read(), read(True))
            except ValueError as error:
                failed[output.name] = str(error)
            except Exception as error:  # a scan that fails must not stop the others
                failed[output.name] = f"{type(error).__name__}: {error}"
    return scores, failed


def _print_table(scores: dict[str, dict[str, float]]) -> None:
    shown = [name for name in _SHOWN if any(name in own for own in scores.values())]
    if not scores:
        return
    rows = {**scores, **({"mean": _means(scores)} if len(scores) > 1 else {})}
    width = max(map(len, rows))
    print(f"{'':<{width}}  slices  {'  '.join(f'{name:>16}' for name in shown)}")
    for name, own in rows.items():
        values = "  ".join(f"{own.get(column, math.nan):>16.4f}" for column in shown)
        print(f"{name:<{width}}  {own['slices']:>6.0f}  {values}")


def _means(scores: dict[str, dict[str, float]]) -> dict[str, float]:
    columns = {column for own in scores.values() for column in own}
    means = {}
    for column in columns:
        values = [
            own[column] for own in scores.values() if not math.isnan(own.get(column, math.nan))
        ]
        means[column] = sum(values) / len(values) if values else math.nan
    return means


def _refuse_foreign(path: Path) -> None:
    if path.exists() and not path.read_bytes().startswith((b"scan,", b"scan\r")):
        msg = f"{path}: expected a new file, or a table of such scores, got another; name another"
        raise UsageError(msg)


def _write_csv(scores: dict[str, dict[str, float]], path: Path) -> None:
    import csv

    columns = list(dict.fromkeys(column for own in scores.values() for column in own))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["scan", *columns])
        writer.writeheader()
        writer.writerows({"scan": name, **own} for name, own in scores.items())
