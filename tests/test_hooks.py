import re
import shutil
from types import SimpleNamespace

import pytest
import yaml
from click.exceptions import Exit
from kedro.config import OmegaConfigLoader
from kedro.framework.hooks.manager import _create_hook_manager, _register_hooks
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro_datasets.pandas import CSVDataset
from kedro_datasets.partitions import PartitionedDataset
from matplotlib.figure import Figure
from pandas import DataFrame, concat

from slicefill import tracking
from slicefill.advice import kedro_run
from slicefill.datasets.cases import CasesDataset
from slicefill.datasets.checkpoints import ModelsDataset
from slicefill.datasets.figures import FiguresDataset
from slicefill.datasets.raw import RawFolder, VirtualSubjects
from slicefill.execution import CASES_LEFT_OUT
from slicefill.hooks import (
    ParametersHook,
    QuarantineHook,
    SummaryHook,
    TrackingHook,
)
from slicefill.hooks.environment import EnvironmentHook
from slicefill.settings import CONFIG_LOADER_ARGS, HOOKS
from slicefill.types import ModelPromise, Promise

from .conftest import ROOT
from .test_params import ENVIRONMENTS

REFUSED = DataFrame(
    [
        ["c1", "images/c1.nii.gz", "a whole file", "half", "copy it", "refused", 1],
        ["", "README", "", "a text", "", "left aside", 1],
    ],
    columns=["case", "file", "expected", "found", "remedy", "outcome", "files"],
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
        (REPORT, 1, "refused: c1: images/c1.nii.gz: expected a whole file, found half; copy it"),
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


@pytest.fixture
def run(monkeypatch, configuration):
    """Start a tracked run of a pipeline by its parameters; what was logged, by function."""

    def start(catalog, *inputs, images=None, **run_params):
        logged = {}
        catalog["params:tracking"] = MemoryDataset({"images": images})
        for name in ("log_params", "log_environment", "log_artifact", "log_inputs"):
            monkeypatch.setattr(
                tracking, name, lambda *given, name=name: logged.update({name: given})
            )
        monkeypatch.setattr(tracking, "register_model", logged.setdefault("models", []).append)
        monkeypatch.setattr(
            tracking,
            "start_run",
            lambda _, name, tags, hold: logged.update(name=name, tags=tags) or "id",
        )
        hook = TrackingHook()
        hook._globals = dict(configuration("tiny")["globals"])
        told = {"project_path": ".", "env": "tiny", "pipeline_names": None, "runtime_params": None}
        pipeline = Pipeline([Node(lambda *_: None, list(inputs), None, name="n")] if inputs else [])
        hook.before_pipeline_run({**told, **run_params}, pipeline, catalog)
        return hook, logged

    return start


def test_a_run_is_called_after_method_stage_and_data(run):
    _, logged = run(
        DataCatalog({}),
        pipeline_names=["synthesis"],
        runtime_params={"variant": "iia", "factor": 2, "synthesis": {"perceptual": "none"}},
    )
    assert logged["name"] == "iia synthesis.perceptual=none · synthesis · tiny ×2 S"
    assert logged["tags"]["method"] == "iia"
    assert logged["tags"]["mlflow.source.name"] == (
        "kedro run --env=tiny --pipelines=synthesis "
        "--params=variant=iia,factor=2,synthesis.perceptual=none"
    )


def test_a_run_of_one_box_is_called_after_the_box(run):
    _, logged = run(DataCatalog({}), namespaces=["imputation", "evaluation"])
    assert logged["name"] == "slice_imputation · imputation+evaluation · tiny ×4 S"
    command = "kedro run --env=tiny --namespaces=imputation,evaluation"
    assert logged["tags"]["mlflow.source.name"] == command


def test_sections_that_nodes_take_are_logged_as_plain_values(run, synthesis_params):
    sections = {"synthesis": synthesis_params, "imputation.methods": ["linear"], "other": {"x": 1}}
    catalog = DataCatalog({f"params:{n}": MemoryDataset(one) for n, one in sections.items()})
    _, logged = run(catalog, "params:synthesis", "params:imputation.methods")
    expected = {"synthesis": synthesis_params.model_dump(), "imputation.methods": ["linear"]}
    assert logged["log_params"] == (expected,)


def test_a_trained_model_is_registered_and_one_that_failed_is_not(run, configuration, tmp_path):
    def fail():
        raise ValueError("no luck")

    models = ModelsDataset(
        path=str(tmp_path), variant="iia", metadata={"mlflow_model": "imputation"}
    )
    made = {"iia": ModelPromise(lambda: {"weights": {}}, "1"), "bad": ModelPromise(fail, "2")}
    models.save(made)
    imputation = configuration("tiny")["parameters"]["imputation"]
    catalog = DataCatalog({"models": models, "params:imputation": MemoryDataset(imputation)})
    hook, logged = run(catalog)
    hook.after_dataset_saved("models", made)
    (model,) = logged["models"]
    assert (model.name, model.kind, model.fingerprint) == ("tiny_S_x4-iia", "imputation", "1")
    assert (model.axis, model.factor) == (2, 4)
    assert model.read()["fingerprint"] == "1"


def test_the_data_of_a_run_are_logged_when_their_splits_are_read_or_written(run):
    splits = MemoryDataset(REFUSED, metadata={"mlflow_inputs": True})
    hook, logged = run(DataCatalog({"splits": splits, "manifest": MemoryDataset(REFUSED)}))
    for seen in (hook.after_dataset_loaded, hook.after_dataset_saved):
        logged.pop("log_inputs", None)
        seen("splits", REFUSED)
        name, manifest, given = logged["log_inputs"]
        assert name == "tiny"
        assert manifest.equals(given)


def test_figures_in_an_object_store_are_fetched_and_logged(run, monkeypatch):
    figures = FiguresDataset(filepath="memory://bucket/figures", metadata={"mlflow": True})
    figures.save({"curve": Figure()})
    hook, _ = run(DataCatalog({"figures": figures}))
    found = {}
    monkeypatch.setattr(
        tracking, "log_artifact", lambda path: found.update({path.name: list(path.iterdir())})
    )
    hook.after_dataset_saved("figures", None)
    assert [path.name for path in found["figures"]] == ["curve.png"]


@pytest.mark.parametrize(
    ("images", "raw", "expected"),
    [
        (None, RawFolder(path="a"), False),
        (None, VirtualSubjects(path="b", subjects=1, seed=0), True),
        (True, RawFolder(path="a"), True),
        (False, VirtualSubjects(path="b", subjects=1, seed=0), False),
    ],
)
def test_pictures_of_scans_are_logged_only_if_wanted_or_of_nobody(
    run, images, raw, expected, tmp_path
):
    report = CSVDataset(filepath=str(tmp_path / "report.csv"), metadata={"mlflow": "images"})
    report.save(REFUSED)
    hook, logged = run(DataCatalog({"report": report, "raw_folder": raw}), images=images)
    hook.after_dataset_saved("report", REFUSED)
    assert ("log_artifact" in logged) == expected


def test_a_run_counts_as_soon_as_a_case_was_made(run, catalog, case, monkeypatch):
    hook, _ = run(catalog)
    said = []
    monkeypatch.setattr(tracking, "made", lambda: said.append("made"))
    catalog["cases"].save({"a": Promise(case, "1")})  # it is there
    hook.after_dataset_saved("cases", {})
    assert not said
    catalog["cases"].save({"a": Promise(case, "2")})
    hook.after_dataset_saved("cases", {})
    assert said == ["made"]


def test_a_set_without_figures_is_not_logged(run):
    figures = FiguresDataset(filepath="memory://bucket/none", metadata={"mlflow": True})
    figures.save({})
    hook, logged = run(DataCatalog({"figures": figures}))
    hook.after_dataset_saved("figures", {})
    assert "log_artifact" not in logged


def test_overrides_are_checked_before_a_run_is_opened(monkeypatch, configuration):
    opened = []
    monkeypatch.setattr(tracking, "start_run", lambda *_, **__: opened.append("a run"))
    hooks = _create_hook_manager()
    _register_hooks(hooks, HOOKS)
    context = SimpleNamespace(config_loader=configuration("tiny"), env="tiny")
    hooks.hook.after_context_created(context=context)
    told = {"project_path": ".", "runtime_params": {"facter": 2}}
    with pytest.raises(ValueError, match="facter"):
        hooks.hook.before_pipeline_run(run_params=told, pipeline=MAKE, catalog=DataCatalog({}))
    assert not opened


def test_without_tracking_nothing_is_looked_up_in_the_catalog(monkeypatch):
    monkeypatch.setenv("SLICEFILL_TRACKING", "off")
    hook = TrackingHook()
    hook._globals = {"experiment": "x", "axis": "S", "factor": 4, "variant": "v", "seed": 0}
    told = {"project_path": ".", "env": None, "pipeline_names": None, "runtime_params": None}
    hook.before_pipeline_run(told, Pipeline([]), None)
    hook.after_dataset_loaded("splits", None)
    hook.after_dataset_saved("splits", None)


@pytest.mark.parametrize("name", ["unscored", "unaudited", "imputed_tables"])
def test_a_case_that_could_not_be_scored_was_left_out(caplog, name):
    score = Pipeline([Node(lambda: None, None, name, name="score")])
    table = DataFrame([["linear/a", "no luck"]], columns=["case", "reason"])
    made = MemoryDataset({"unscored": lambda: table} if name == "imputed_tables" else table)
    with pytest.raises(Exit):
        QuarantineHook().after_pipeline_run(score, DataCatalog({name: made}))
    assert f"{name}: linear/a was not scored: no luck" in caplog.text


def test_scores_of_images_that_no_preset_asked_for_are_no_failure(tmp_path):
    score = Pipeline([Node(lambda: None, None, "imputed_tables", name="score")])
    none = PartitionedDataset(path=str(tmp_path / "imputed"), dataset="pandas.CSVDataset")
    QuarantineHook().after_pipeline_run(score, DataCatalog({"imputed_tables": none}))


def test_a_failed_run_is_closed_as_failed(monkeypatch):
    ended = []
    monkeypatch.setattr(tracking, "end_run", ended.append)
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
    assert "refused: virtual-02: images/virtual-02.nii.gz: expected" in said
    assert "1 case(s) or model(s) were left out" in said
    cases = project / "data" / "02_intermediate" / "tiny" / "cases"
    assert sorted(path.name for path in cases.glob("v*")) == [
        "virtual-01",
        "virtual-03",
        "virtual-04",
    ]
    assert not (project / "data" / "mlflow").exists()  # tracking is off


def fields_of_shortcuts():
    """Parameters and their shortcut, read from the text of the files, not through Kedro."""
    for file in sorted((ROOT / "conf" / "base" / "parameters").glob("*.yml")):
        for name, value in tracking.flatten(yaml.safe_load(file.read_text())).items():
            found = re.fullmatch(r"\$\{runtime_params:(\w+),.*\}", str(value))
            if found and "." in name:
                yield name, found[1]


FIELDS = list(fields_of_shortcuts())


@pytest.fixture
def check(configuration):
    """Check overrides in an environment, as Kedro does before a run."""

    def run(overrides, env="base", loader=None):
        hook = ParametersHook()
        loader = configuration(env, **(overrides or {})) if loader is None else loader
        hook.after_context_created(SimpleNamespace(config_loader=loader))
        hook.before_pipeline_run({"runtime_params": overrides})

    return run


def nested(name, value):
    for key in reversed(name.split(".")):
        value = {key: value}
    return value


@pytest.mark.parametrize(("name", "shortcut"), FIELDS)
def test_a_parameter_that_a_shortcut_sets_is_refused_in_its_long_form(check, name, shortcut):
    with pytest.raises(ValueError, match=rf"--params {name}=7: .*; write {shortcut}=7$"):
        check(nested(name, 7))


def test_the_files_have_parameters_that_shortcuts_set():
    sections = {name.partition(".")[0] for name, shortcut in FIELDS if shortcut == "axis"}
    assert {"adaptation", "ingestion", "imputation", "synthesis"} <= sections
    assert {shortcut for _, shortcut in FIELDS} >= {"axis", "factor", "preset", "seed"}


def test_a_new_section_needs_no_entry_in_the_code(check, tmp_path):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "conf" / "base" / "parameters" / "fusion.yml").write_text(
        "fusion: {plane: '${runtime_params:axis,${globals:axis}}', views: 3}\n"
    )
    loader = OmegaConfigLoader(str(tmp_path / "conf"), "tiny", **CONFIG_LOADER_ARGS)
    check({"fusion": {"views": 2}}, loader=loader)
    with pytest.raises(ValueError, match="write axis=A"):
        check({"fusion": {"plane": "A"}}, loader=loader)


def test_a_value_that_an_experiment_fixes_is_not_set_by_the_shortcut(check, tmp_path):
    """The shortcut would be without effect there; the long form is the only one that works."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    parameters = tmp_path / "conf" / "tiny" / "parameters.yml"
    parameters.write_text("imputation: {through_plane: S}\n")
    loader = OmegaConfigLoader(str(tmp_path / "conf"), "tiny", **CONFIG_LOADER_ARGS)
    check({"imputation": {"through_plane": "A"}}, loader=loader)


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ({"facter": 2}, "expected one of axis, factor, preset, seed, shard, slice_mm, variant"),
        ({"imputaton": {"count": 3}}, "imputation, .*; got imputaton.count"),
        ({"experiment": "other"}, "got experiment"),
        ({"synthesis": 3}, "got synthesis"),
    ],
)
def test_overrides_that_nothing_reads_are_refused(check, override, hint):
    with pytest.raises(ValueError, match=hint):
        check(override)


def test_a_password_among_the_overrides_is_refused_and_not_repeated(check):
    tuning = {"storage": "postgresql+psycopg://user:secret@host/name"}
    with pytest.raises(ValueError, match="SLICEFILL_TUNING_STORAGE") as refused:
        check({"tuning": tuning})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_shortcuts_and_other_parameters_of_every_section_pass(check, configuration, env):
    shortcuts = {"axis": "A", "seed": 1, "preset": "table4", "shard": "0/2", "factor": 2}
    parameters = configuration(env)["parameters"]
    sections = {name: {"x": 1} for name, values in parameters.items() if isinstance(values, dict)}
    assert len(sections) > 10
    check(shortcuts | sections, env)
    check(None, env)


def test_the_summary_comes_last_also_where_the_run_ends_with_a_code(catalog, capsys):
    """In the order in which Kedro calls the hooks of settings.py."""
    hooks = _create_hook_manager()
    _register_hooks(hooks, (QuarantineHook(), SummaryHook()))
    told = {"env": "tiny", "pipeline_names": ["ingestion"], "runtime_params": None}
    pipeline = REPORT + MAKE
    hooks.hook.before_pipeline_run(run_params=told, pipeline=pipeline, catalog=catalog)
    done = {"run_params": told, "run_result": {}}
    with pytest.raises(Exit) as stop:
        hooks.hook.after_pipeline_run(pipeline=pipeline, catalog=catalog, **done)
    assert stop.value.exit_code == CASES_LEFT_OUT
    said = capsys.readouterr().out
    assert "── ingestion · tiny · 0 s ─" in said
    assert "Left out  1 refused, 1 failed" in said


def test_the_summary_counts_the_files_of_a_report_on_disk(configuration, tmp_path, capsys):
    entry = configuration("base")["catalog"]["ingestion_report"]
    path = str(tmp_path / "report.csv")
    catalog = DataCatalog.from_config({"ingestion_report": {**entry, "filepath": path}})
    aside = REFUSED.tail(1).assign(files=12)
    catalog.save("ingestion_report", concat([REFUSED.head(1), REFUSED.head(1), aside, aside]))
    hook, pipeline = SummaryHook(), REPORT
    told = {"env": "tiny", "pipeline_names": None, "runtime_params": None}
    hook.before_pipeline_run(told, pipeline)
    around = hook.after_pipeline_run(pipeline, catalog)
    next(around)
    with pytest.raises(StopIteration):
        next(around)
    assert "Left out  2 refused, 24 left aside" in capsys.readouterr().out


def test_a_run_of_which_nothing_exists_has_a_summary_too(capsys):
    hook, nothing = SummaryHook(), Pipeline([])
    told = {"env": None, "pipeline_names": None, "runtime_params": None}
    hook.before_pipeline_run(told, nothing)
    around = hook.after_pipeline_run(nothing, DataCatalog({}))
    next(around)
    with pytest.raises(StopIteration):
        next(around)
    assert capsys.readouterr().out.startswith("\n── study · 0 s ─")


def test_a_count_that_does_not_name_the_folder_of_its_results_is_refused(configuration):
    hook, loader = ParametersHook(), configuration("base", imputation={"count": 3})
    hook.after_context_created(SimpleNamespace(config_loader=loader))
    hook.after_catalog_created({"parameters": loader["parameters"]})
    edited = configuration("base")
    values = edited["parameters"]
    values["imputation"]["count"] = 3  # as parameters.yml of an experiment might
    hook.after_context_created(SimpleNamespace(config_loader=edited))
    with pytest.raises(
        ValueError, match=r"imputation\.count: .* expected N_A, .*got 3; set it there"
    ):
        hook.after_catalog_created({"parameters": values})


def test_messages_advise_commands_for_the_environment_in_use(configuration):
    context = SimpleNamespace(config_loader=configuration("scans"), env="scans")
    context.config_loader.runtime_params = {"axis": "A", "imputation.count": 3}
    EnvironmentHook().after_context_created(context)
    advised = "kedro run --env=scans --pipelines=adaptation --params axis=A"
    assert kedro_run("adaptation") == advised
