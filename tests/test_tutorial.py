"""The tutorial: its numbers are of a run, words follow their sign, names are the product's."""

import re
from pathlib import Path

import pytest

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import classical_imputer
from slicefill.io.case_folder import write_case
from slicefill.metrics import metric_label
from slicefill.pipelines import study
from slicefill.simulation.subsampling import subsample
from slicefill.simulation.virtual_subjects import virtual_subject

from .conftest import ROOT

PAGE = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
BLOCK = re.compile(r"<!-- measured: (\w+) -->\n(.*?)<!-- /measured -->", re.S)


@pytest.fixture
def tutorial(monkeypatch):
    """The script that follows the page."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import tutorial

    return tutorial


@pytest.fixture(scope="module")
def blocks():
    return {name: text.strip() for name, text in BLOCK.findall(PAGE)}


def rows(table):
    """Cells of a Markdown table, head included."""
    lines = [line for line in table.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_block_was_written(tutorial, blocks):
    measured = tutorial.Measured(
        seconds=200.0,
        sample=scores(tutorial, 28.0, 0.93),
        ensemble=scores(tutorial, 28.0, 0.93),
        variant=scores(tutorial, 28.0, 0.93, tutorial.OTHER),
        files=["image.nii.gz"],
        grids={},
        verified=["ok"],
    )
    written = tutorial.render(measured)
    assert set(blocks) == set(written)
    assert all(blocks.values())
    again = tutorial.write_blocks(PAGE, {name: text + " new" for name, text in blocks.items()})
    assert {name: text.strip() for name, text in BLOCK.findall(again)} == {
        name: text + " new" for name, text in blocks.items()
    }
    assert BLOCK.sub("", again) == BLOCK.sub("", PAGE)


def test_the_number_of_tasks_is_that_of_the_study():
    (told,) = re.findall(r"(\d+) tasks", PAGE)
    assert int(told) == len(study.create_pipeline().nodes)


def test_as_many_cases_are_verified_as_methods_impute(blocks, configuration):
    """Of the two test subjects."""
    cases = 2 * len(configuration()["parameters"]["imputation"]["methods"])
    assert blocks["verified"].splitlines()[-2] == f"{cases} of {cases} cases ok"


def test_the_page_gives_the_commands_whose_results_it_shows(tutorial):
    for command in (tutorial.ENSEMBLE, tutorial.VARIANT, tutorial.VERIFY):
        assert f"\n{command}\n" in PAGE
    assert "\nmake run\n" in PAGE
    target = (ROOT / "Makefile").read_text("utf-8").partition("\nrun:")[2]
    assert target.splitlines()[1].endswith(f"/{tutorial.SAMPLE}")


def test_the_scores_are_of_the_methods_and_metrics_of_the_sample(tutorial, blocks, configuration):
    parameters = configuration()["parameters"]
    head, *body = rows(blocks["scores"])
    assert head == ["method", *map(metric_label, tutorial.COLUMNS)]
    methods = [method.replace("_", " ") for method in parameters["imputation"]["methods"]]
    assert [row[0] for row in body] == methods
    assert set(tutorial.COLUMNS) <= set(parameters["evaluation"]["headline"])
    assert tutorial.OTHER in parameters["methods"]


def test_folders_are_those_of_the_catalog(tutorial, configuration):
    catalog = configuration()["catalog"]
    kept = [catalog[name]["path"] for name in ("cases", "acquired_cases", "imputed_cases")]
    assert all(place.startswith(known) for place, known in zip(tutorial.PLACES, kept, strict=True))
    assert f"`{catalog['report']['filepath']}`" in PAGE
    assert f"--against {kept[1]}" in tutorial.VERIFY
    assert kept[2] in tutorial.VERIFY
    assert f"ls {tutorial.PLACES[-1]}/{tutorial.CASE}" in PAGE


def test_the_files_are_those_of_an_imputed_case(blocks, subsampling, imputation_params, tmp_path):
    rule = imputation_params(count=3, through_plane="S")
    thick = subsample(virtual_subject(0, (32, 36, 33)), subsampling(axis="S", factor=4))
    write_case(impute_case(thick, classical_imputer("linear", rule), rule), tmp_path / "a")
    made = sorted(path.name for path in Path(tmp_path, "a").iterdir())
    assert blocks["files"].strip("`").split() == made


def test_the_grids_follow_from_the_factor(blocks):
    whole, kept, imputed = (
        [cell.split(" × ") for cell in row[1:]] for row in rows(blocks["grids"])[1:]
    )
    slices = [int(voxels[2]) for voxels, _ in (whole, kept, imputed)]
    assert slices[1] == -(-slices[0] // 4)
    assert slices[2] == (slices[1] - 1) * 4 + 1
    assert f"{slices[2]}, not {slices[0]}: the three slices" in PAGE
    assert slices[0] - slices[2] == 3
    assert float(kept[1][2]) == 4 * float(imputed[1][2])


def scores(tutorial, psnr, dice, method=None):
    made = {"psnr_body": psnr, "ssim_body": 0.8, "dice_mean": dice}
    return {(method or tutorial.LEARNED, column): (mean, 0.1) for column, mean in made.items()}


@pytest.mark.parametrize(
    ("psnr", "dice", "told"),
    [
        (
            28.05,
            0.929,
            "PSNR 28.05 dB (0.05 dB better than 28.00 dB) and Dice 0.9290 (0.0010 worse",
        ),
        (27.9, 0.94, "PSNR 27.90 dB (0.10 dB worse than 28.00 dB) and Dice 0.9400 (0.0100 better"),
        (28.001, 0.93, "PSNR 28.00 dB (the same as 28.00 dB) and Dice 0.9300 (the same as 0.9300)"),
    ],
)
def test_words_follow_the_sign_of_the_difference(tutorial, psnr, dice, told):
    before, after = scores(tutorial, 28.0, 0.93), scores(tutorial, psnr, dice)
    assert tutorial._compared(before, tutorial.LEARNED, after, tutorial.LEARNED).startswith(told)


def test_the_sentences_of_the_page_agree_with_its_tables(blocks):
    (_, first, mirrored, other) = rows(blocks["variant"])
    for name, row in (("ensemble", mirrored), ("ablation", other)):
        new, size, told, old = re.findall(
            r"PSNR ([\d.]+) dB \((?:([\d.]+) dB )?(better|worse|the same)[^\d]*([\d.]+)",
            blocks[name],
        )[0]
        assert row[1].startswith(new)
        assert first[1].startswith(old)
        change = round(float(new) - float(old), 2)
        assert told == ("better" if change > 0 else "worse" if change < 0 else "the same")
        assert float(size or 0) == abs(change)
