"""Follow the tutorial on this machine and write what it measured into the page.

    python benchmarks/tutorial.py --data /tmp/tutorial

takes ten minutes on 2 idle cores. It runs the commands of `docs/tutorial.md` in an empty folder and
replaces the blocks between `<!-- measured: <name> -->` and `<!-- /measured -->`, and the pictures.
Nobody has to remember which way a number went: the words follow from the sign.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import pandas as pd
from PIL import Image

from slicefill.metrics import metric_label
from slicefill.reporting.tables import mean_sd

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tutorial.md"
SAMPLE = "kedro run"
ENSEMBLE = "kedro run --pipelines=imputation,evaluation --params imputation.ensemble=true"
VARIANT = "kedro run --params variant=si_without_tp_smooth"
VERIFY = (
    "slicefill verify data/07_model_output/sample/S_x4/imputed "
    "--against data/03_primary/sample/S_x4/acquired"
)
LEARNED, OTHER, CASE = "slice_imputation", "si_without_tp_smooth", "virtual-08"
COLUMNS = ("psnr_body", "ssim_body", "dice_mean")
PLACES = (  # of the case, layer by layer
    "data/02_intermediate/sample/cases",
    "data/03_primary/sample/S_x4/acquired",
    f"data/07_model_output/sample/S_x4/imputed/{LEARNED}",
)
PICTURES = {f"cases/labels_{CASE}": "labels_sample", f"loss_curves_{LEARNED}": "curves_sample"}
_BLOCK = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- /measured -->)", re.S)
Summary = Mapping[tuple[str, str], tuple[float, float]]
"""Mean and standard deviation by method and column."""


@dataclass(frozen=True)
class Measured:
    """What the commands of the page have made.

    Attributes:
        seconds: Of the first command, wall clock.
        sample: Scores after the first run.
        ensemble: Scores with mirrored slices averaged.
        variant: Scores after the other method was trained.
        files: Of the imputed case.
        grids: Voxels and spacing (mm) of the case, by place.
        verified: What `slicefill verify` printed.
    """

    seconds: float
    sample: Summary
    ensemble: Summary
    variant: Summary
    files: list[str]
    grids: Mapping[str, tuple[list[int], list[float]]]
    verified: list[str]


def write_blocks(page: str, blocks: Mapping[str, str]) -> str:
    """Return the page with other blocks, and its prose as it is."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{blocks[found[2]]}\n\n{found[3]}", page)


def render(measured: Measured) -> dict[str, str]:
    """Write every block of the page from what the commands have made."""
    sample, ensemble, other = measured.sample, measured.ensemble, measured.variant
    methods = list(dict.fromkeys(method for method, _ in sample))
    mirrored = f"{LEARNED.replace('_', ' ')}, mirrored slices averaged"
    return {
        "duration": f"They took {_minutes(measured.seconds)}.",
        "scores": _table([(name.replace("_", " "), sample, name) for name in methods]),
        "files": "```\n" + "  ".join(measured.files) + "\n```",
        "grids": _grids(measured.grids),
        "verified": "```\n" + "\n".join(_shorten(measured.verified)) + "\n```",
        "ensemble": (f"Then the report says {_compared(sample, LEARNED, ensemble, LEARNED)}"),
        "variant": _table(
            [
                (LEARNED.replace("_", " "), sample, LEARNED),
                (mirrored, ensemble, LEARNED),
                (OTHER.replace("_", " "), other, OTHER),
            ]
        ),
        "ablation": f"Without the term the result is {_compared(sample, LEARNED, other, OTHER)}",
    }


def _compared(before: Summary, one: str, after: Summary, other: str) -> str:
    """Say of two results which is better, metric by metric."""
    parts = []
    for column, unit, digits in (("psnr_body", " dB", 2), ("dice_mean", "", 4)):
        old, new = before[one, column][0], after[other, column][0]
        change = round(round(new, digits) - round(old, digits), digits)
        told = "better" if change > 0 else "worse" if change < 0 else "the same"
        name = metric_label(column).split(",")[0]
        size = f"{abs(change):.{digits}f}{unit} {told}" if change else told
        parts.append(f"{name} {new:.{digits}f}{unit} ({size} than {old:.{digits}f}{unit})")
    return " and ".join(parts).replace("the same than", "the same as") + "."


def _table(rows: list[tuple[str, Summary, str]]) -> str:
    head = ["method", *map(metric_label, COLUMNS)]
    lines = [head, ["---"] * len(head)]
    lines += [
        [name, *(mean_sd(*summary[method, column]) for column in COLUMNS)]
        for name, summary, method in rows
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _grids(grids: Mapping[str, tuple[list[int], list[float]]]) -> str:
    lines = [f"| file in `{CASE}` | voxels | mm |", "|---|---|---|"]
    for place, (shape, spacing) in grids.items():
        voxels, mm = (" × ".join(f"{n:g}" for n in numbers) for numbers in (shape, spacing))
        lines.append(f"| `{place}` | {voxels} | {mm} |")
    return "\n".join(lines)


def _shorten(lines: list[str]) -> list[str]:
    """Keep the first two, and the last two."""
    return lines if len(lines) < 6 else [*lines[:2], "…", *lines[-2:]]


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{round(seconds, -1):.0f} seconds"
    return f"{seconds / 60:.0f} minutes"


def follow(data: Path) -> Measured:
    """Run the commands of the page in an empty folder, one after the other."""
    begin = time.monotonic()
    _run(SAMPLE, data)
    seconds, sample = time.monotonic() - begin, _summary(data)
    verified = _run(VERIFY.replace("data/", f"{data}/"), data).splitlines()
    _take_pictures(data)
    _run(ENSEMBLE, data)
    ensemble = _summary(data)
    _run(VARIANT, data)
    cases = {place: data / place.removeprefix("data/") / CASE for place in PLACES}
    grids = {place: _grid(folder) for place, folder in cases.items()}
    files = sorted(path.name for path in cases[PLACES[-1]].iterdir())
    return Measured(seconds, sample, ensemble, _summary(data), files, grids, verified)


def _run(command: str, data: Path) -> str:
    sys.stdout.write(f"{command}\n")
    program, *arguments = command.split()
    words = [str(Path(sys.executable).with_name(program)), *arguments]
    env = {**os.environ, "SLICEFILL_ROOT": str(data), "SLICEFILL_TRACKING": "off"}
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"{command}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}"
        raise RuntimeError(msg)
    return done.stdout


def _summary(data: Path) -> Summary:
    table = pd.read_csv(data / "08_reporting/sample/S_x4/evaluation_summary.csv")
    rows = table[table["metric"].isin(COLUMNS)]
    keys = zip(rows["method"], rows["metric"], strict=True)
    return dict(zip(keys, zip(rows["mean"], rows["sd"], strict=True), strict=True))


def _grid(folder: Path) -> tuple[list[int], list[float]]:
    header = nib.load(folder / "image.nii.gz").header
    return list(header.get_data_shape()), [round(float(mm), 3) for mm in header.get_zooms()]


def _take_pictures(data: Path) -> None:
    figures = data / "08_reporting/sample/S_x4/figures"
    for name, picture in PICTURES.items():
        small = Image.open(figures / f"{name}.png").convert("RGB").quantize(128)
        small.save(ROOT / "docs" / "img" / f"{picture}.png", optimize=True)


def main() -> None:
    """Follow the page, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="an empty folder")
    measured = follow(parser.parse_args().data.resolve())
    page = write_blocks(PAGE.read_text("utf-8"), render(measured))
    PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
