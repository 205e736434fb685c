"""The notebooks run from top to bottom in a project with results, and what they show is right."""

import os
import shutil
from io import StringIO
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parents[1]
VOLUME, COMPARISON = "01_look_at_an_imputed_volume", "02_read_a_comparison"
PNG = "image/png"


def execute(project, name, *further):
    """Run a notebook in a project, then further code; the code cells by tag.

    Args:
        project: Folder of the project.
        name: Of the notebook.
        further: Code cells to run after those of the notebook; their tags are `further-0`, ...
    """
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    for number, code in enumerate(further):
        tag = {"tags": [f"further-{number}"]}
        notebook.cells.append(nbformat.v4.new_code_cell(code, metadata=tag))
    folder = project / "notebooks"
    folder.mkdir(exist_ok=True)
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",  # ipykernel brings its description; the interpreter is this one
        resources={"metadata": {"path": str(folder)}},
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "SLICEFILL"))}
    client.execute(env={**kept, "PYTHONPATH": str(ROOT / "src"), "KEDRO_ENV": "tiny"})
    # Ids would not do: stripping the outputs numbers them anew.
    return {cell.metadata.tags[0]: cell for cell in notebook.cells if cell.cell_type == "code"}


def text(cell):
    return "".join(out["text"] for out in cell.outputs if out.output_type == "stream")


def pictures(cell):
    return [out["data"][PNG] for out in cell.outputs if PNG in out.get("data", {})]


def frame(cell):
    """The table that a cell shows, its index among the columns."""
    (shown,) = [out["data"]["text/html"] for out in cell.outputs if "data" in out]
    table = pd.read_html(StringIO(shown))[0]
    heads = [name if isinstance(name, tuple) else (name,) for name in table.columns]
    table.columns = [next(p for p in parts if not p.startswith("Unnamed")) for parts in heads]
    return table


@pytest.fixture
def studied(tiny_run, tmp_path):
    """A copy of the project of the finished study."""
    return Path(shutil.copytree(tiny_run[0], tmp_path / "project"))


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_no_output_is_kept_in_the_repository(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


MOVE = """
before, line = picture.value, provenance.value
sliders[imputed.record["axis"]].value += 1
print(picture.value != before, picture.value[:4] == b"\\x89PNG", provenance.value != line)
print(provenance.value)
"""
CHANGE_METHOD = """
before, places = picture.value, [slider.value for slider in sliders]
method.value = "nearest"
print(picture.value != before, [slider.value for slider in sliders] == places)
"""


def test_an_imputed_volume_is_drawn_moved_through_and_proven_untouched(studied):
    cells = execute(studied, VOLUME, MOVE, CHANGE_METHOD)
    methods = "nearest linear cubic shape_based shape_matched slice_imputation"
    assert f"6 methods: {methods}" in text(cells["cases"])
    assert len(pictures(cells["first-view"])) == 1
    assert "9 acquired slices, 17280 voxels: 0 differ" in text(cells["proof"])
    assert text(cells["proof"]).endswith("other differences:\n  none\n")
    answers, line = text(cells["further-0"]).splitlines()
    assert answers == "True True True"
    assert "synthetic, between acquired slices" in line
    assert text(cells["further-1"]) == "True True\n"


def test_without_a_comparison_the_study_is_shown_and_said_so(studied):
    cells = execute(studied, COMPARISON)
    (name,) = frame(cells["runs"])["name"]
    assert "tiny" in name
    assert "study" in name
    assert text(cells["comparison"]).startswith("No comparison was run yet: showing a study.")
    scores = pd.read_csv(studied / "data" / "08_reporting" / "tiny" / "S_x4" / "scores.csv")
    shown = frame(cells["methods"]).set_index("method")
    assert list(shown.index) == list(scores["method"].unique())
    own = scores.groupby("method")["psnr_body"].mean()  # one test case, so one subject
    assert shown["psnr_body"].to_dict() == pytest.approx(own.to_dict(), abs=6e-4)
    for name in ("curves", "scores", "paired"):
        assert len(pictures(cells[name])) == 1


@pytest.mark.server
def test_a_store_without_runs_is_told_with_the_command_that_makes_one(project):
    with pytest.raises(CellExecutionError, match="kedro run --pipelines=comparison"):
        execute(project, COMPARISON)


@pytest.mark.server
def test_a_comparison_is_read_with_its_nested_runs(studied, kedro):
    done = kedro(studied, "run", "--env=tiny", "--pipelines=comparison", SLICEFILL_TRACKING="on")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    cells = execute(studied, COMPARISON)
    runs = frame(cells["runs"])
    assert ["comparison" in name for name in runs["name"]] == [True, False]  # newest first
    table = pd.read_csv(
        studied / "data" / "08_reporting" / "tiny" / "S_x4" / "quick" / "scores.csv"
    )
    methods = list(table["method"].unique())
    assert runs["nested"].tolist()[0] >= len(methods)
    assert "No comparison" not in text(cells["comparison"])
    shown = frame(cells["methods"]).set_index("method")
    assert list(shown.index) == methods
    for method, rows in table.groupby("method"):
        assert shown.loc[method, "dice_mean"] == pytest.approx(rows["dice_mean"].mean(), abs=6e-4)
    for name in ("curves", "scores", "paired"):
        assert len(pictures(cells[name])) == 1
    assert set(frame(cells["tests"])["method"]) == {"linear", "slice_imputation"}
