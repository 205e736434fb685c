import shutil

import pytest
from click.exceptions import Exit
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from pandas import DataFrame

from slicefill import hooks
from slicefill.datasets.cases import CasesDataset
from slicefill.hooks import CASES_LEFT_OUT, ParametersHook, QuarantineHook, TrackingHook
from slicefill.types import Promise

REFUSED = DataFrame(
    [["c1", "images/c1.nii.gz", "a whole file", "half", "copy it"]],
    columns=["case", "file", "expected", "found", "remedy"],
)
MAKE = Pipeline([Node(lambda report: {}, "ingestion_report", "cases", name="make")])
READ = Pipeline([Node(lambda cases: None, "cases", None, name="read")])
REPORT = Pipeline([Node(lambda: None, None, "ingestion_report", name="report")])


@pytest.fixture
def catalog(case, tmp_path):
    """Cases of which one failed, and a report of one refused."""

    def fail():
        raise ValueError("no luck")

    cases = CasesDataset(path=str(tmp_path / "cases"), made_by="ingestion")
    cases.save({"a": Promise(case, "1"), "b": Promise(fail, "1")})
    return DataCatalog({"cases": cases, "ingestion_report": MemoryDataset(REFUSED)})


def warnings(caplog):
    return [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(
    ("pipeline", "count", "said"),
    [
        (MAKE, 1, "cases: b failed: ValueError: no luck"),
        (REPORT, 1, "refused: c1: expected a whole file, found half; copy it"),
        (REPORT + MAKE, 2, "2 case(s) or model(s) were left out"),
    ],
)
def test_cases_that_were_left_out_are_counted_and_end_the_run(
    catalog, caplog, pipeline, count, said
):
    with pytest.raises(Exit) as stop:
        QuarantineHook().after_pipeline_run(pipeline, catalog)
    assert stop.value.exit_code == CASES_LEFT_OUT == 3
    assert said in caplog.text
    assert len(warnings(caplog)) == count + 1  # the last one counts them


def test_what_an_earlier_run_left_out_is_not_reported_again(catalog, caplog):
    QuarantineHook().after_pipeline_run(READ, catalog)
    assert not warnings(caplog)


def test_when_nothing_was_left_out_the_run_ends_well(catalog, case, caplog):
    catalog["cases"].save({"a": Promise(case, "1")})
    QuarantineHook().after_pipeline_run(MAKE, catalog)
    assert not warnings(caplog)


def test_a_failed_run_is_closed_as_failed(monkeypatch):
    ended = []
    monkeypatch.setattr(hooks.tracking, "end_run", ended.append)
    TrackingHook().on_pipeline_error()
    assert ended == ["FAILED"]


def test_a_run_with_a_broken_file_says_so_and_exits_with_3(project, kedro, tiny_run):
    """From the outside, as a user sees it."""
    raw = project / "raw"
    shutil.copytree(tiny_run[0] / "data" / "01_raw" / "tiny", raw)
    broken = raw / "images" / "virtual-02.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-20])
    (project / "conf" / "tiny" / "catalog.yml").write_text(
        "raw_folder:\n  type: slicefill.datasets.raw.RawFolder\n  path: ${globals:raw}\n"
    )
    done = kedro(project, "run", "--env=tiny", "--pipelines=ingestion", SLICEFILL_RAW=str(raw))
    said = done.stdout + done.stderr
    assert done.returncode == 3, said
    assert "refused: virtual-02: expected" in said
    assert "1 case(s) or model(s) were left out" in said
    cases = project / "data" / "02_intermediate" / "tiny" / "cases"
    assert sorted(path.name for path in cases.glob("v*")) == [
        "virtual-01",
        "virtual-03",
        "virtual-04",
    ]
    assert not (project / "data" / "mlflow").exists()  # tracking is off


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ({"facter": 2}, "axis, factor, variant, seed, preset"),
        ({"synthesis": {"variant": "iia"}}, "write variant=iia"),
        ({"anisotropization": {"factor": 2}}, "write factor=2"),
        ({"comparison": {"preset": "table4"}}, "write preset=table4"),
    ],
)
def test_overrides_without_effect_or_beside_the_design_are_refused(override, hint):
    with pytest.raises(ValueError, match=hint):
        ParametersHook().before_pipeline_run({"runtime_params": override})


def test_overrides_of_the_design_and_of_sections_pass():
    design = {"axis": "A", "seed": 1, "preset": "table4"}
    names = ("synthesis", "augmentation", "segmentation", "super_resolution", "comparison")
    sections = {name: {"optimisation": {"epochs": 2}} for name in (*names, "scoring")}
    ParametersHook().before_pipeline_run({"runtime_params": design | sections})
    ParametersHook().before_pipeline_run({"runtime_params": None})
