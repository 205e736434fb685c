import importlib
import inspect
import logging
import pkgutil
import typing
from copy import deepcopy
from pathlib import Path

import pytest
from kedro.validation.parameter_validator import ParameterValidator
from pydantic import BaseModel, ValidationError

import slicefill.pipelines
from slicefill import params as models
from slicefill.imputation.methods import find_method
from slicefill.params.fused_views import FusedViewsParams
from slicefill.params.imputation import imputation_params
from slicefill.plugins import check_entries, check_names
from slicefill.simulation.subsampling import AnisotropizationParams

ENVIRONMENTS = sorted(
    path.name
    for path in (Path(__file__).parents[1] / "conf").iterdir()
    if path.is_dir() and path.name != "local"
)
MODELS = {
    "ingestion": models.IngestionParams,
    "anisotropization": AnisotropizationParams,
    "imputation": models.ImputationParams,
    "evaluation": models.EvaluationParams,
    "pretraining": models.PretrainingParams,
    "augmentation": models.AugmentationParams,
    "segmentation": models.SegmentationParams,
    "scoring": models.ScoringParams,
    "comparison": models.ComparisonParams,
    "tuning": models.TuningParams,
    "fusion": FusedViewsParams,
    "executor": models.ExecutorParams,
    "label_audit": models.LabelAuditParams,
}

SECTIONS = {"synthesis": "slice_imputation", "adaptation": "adapted", "super_resolution": "edsr"}
"""Sections that entries of `methods` share, each with such an entry."""


def pipelines():
    return {
        found.name: importlib.import_module(
            f"{slicefill.pipelines.__name__}.{found.name}"
        ).create_pipeline()
        for found in pkgutil.iter_modules(slicefill.pipelines.__path__)
    }


@pytest.fixture
def values(configuration):
    return deepcopy(configuration()["parameters"])


def changed(values, path, value):
    *parents, last = path.split(".")
    inner = values
    for key in parents:
        inner = inner.setdefault(key, {})
    inner[last] = value
    return values


def build(values, path):
    name = path.split(".")[0]
    if name in SECTIONS:
        return find_method(SECTIONS[name], values).params
    return MODELS[name](**values[name])


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_environment_is_valid(configuration, env):
    values = configuration(env)["parameters"]
    for name, model in MODELS.items():
        model(**values[name])
    check_entries(values)


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_typed_node_really_receives_its_model(configuration, env, caplog):
    """An import under TYPE_CHECKING would make Kedro hand over a plain dict, unchecked."""
    with caplog.at_level(logging.WARNING):
        given = ParameterValidator(pipelines()).validate_raw_params(
            dict(configuration(env)["parameters"])
        )
    assert not caplog.records  # "Could not extract type hints …"
    for name, model in MODELS.items():
        assert type(given[name]) is model


def test_every_parameter_that_a_node_takes_is_typed():
    for pipeline in pipelines().values():
        for node in pipeline.nodes:
            hints = typing.get_type_hints(node.func)
            arguments = inspect.signature(node.func).parameters
            for name, argument in zip(node.inputs, arguments, strict=True):
                section, _, field = name.removeprefix("params:").partition(".")
                if (
                    name.startswith("params:")
                    and not field
                    and section not in ("variant", "audits")
                ):
                    assert hints[argument] is MODELS[section]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "slice_imputatoin"}, "expected one of .*slice_imputation.*, got 'slice_imputat"),
        ({}, "expected one of .*classical.*, got None"),
        ({"kind": "classical", "rule": "sinc"}, r"methods\.mine \(kind classical.*rule"),
        ({"kind": "slice_imputation", "prest": "tuned"}, "prest: Extra inputs"),
        ({"kind": "slice_imputation", "preset": "best"}, "'best' is not defined; there is "),
        ({"kind": "slice_imputation", "parts": {"tp_smoth": False}}, r"parts\.tp_smoth: Extra"),
    ],
)
def test_an_entry_of_methods_that_does_not_fit_its_kind_is_refused(values, entry, message):
    values["methods"]["mine"] = entry
    with pytest.raises(ValueError, match=message):
        find_method("mine", values)


@pytest.mark.parametrize("name", [*MODELS, *SECTIONS])
def test_a_misspelt_key_is_refused(values, name):
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        build(changed(values, f"{name}.typo", 1), name)


def nested_models(values, model, path):
    """Yield the path of every model within a model."""
    for key, field in model.model_fields.items():
        kind = field.annotation
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            yield f"{path}.{key}"
            yield from nested_models(values.get(key, {}), kind, f"{path}.{key}")


def test_a_misspelt_key_is_refused_at_any_depth(values):
    found = MODELS | {name: type(build(values, name)) for name in SECTIONS}
    values["synthesis"]["parts"] = {}
    values["super_resolution"]["network"] = {}
    paths = [path for name in found for path in nested_models(values[name], found[name], name)]
    assert {"synthesis.optimisation", "ingestion.labels", "imputation.window"} < set(paths)
    for path in paths:
        with pytest.raises(ValueError, match="Extra inputs are not permitted"):
            build(changed(deepcopy(values), f"{path}.typo", 1), path)


USUAL = {  # what has a default; all of `imputation` has: commands name little
    "ingestion": {"missing_slices"},
    "evaluation": {"body_quantile", "metrics"},
    "augmentation": {"confidence_threshold", "samples"},
    "segmentation": {"hardware", "output", "imputed_by", "network"},
    "scoring": {"slices", "metrics"},
}


@pytest.mark.parametrize("name", sorted({*MODELS} - {"imputation"}))
def test_no_experimental_choice_is_assumed(name):
    fields = MODELS[name].model_fields.items()
    assert {key for key, field in fields if not field.is_required()} == USUAL.get(name, set())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ingestion.layout", "zip"),
        ("ingestion.affine_tolerance", 0),
        ("ingestion.channel", -1),
        ("ingestion.split.train", 1.2),
        ("ingestion.split.folds", 1),
        ("anisotropization.factor", 0),
        ("anisotropization.axis", "X"),
        ("synthesis.network.depth", 7),
        ("synthesis.groups.background_keep", 1.5),
        ("synthesis.optimisation.learning_rate", 0),
        ("synthesis.optimisation.epochs", 0),
        ("synthesis.optimisation.batch", "many"),
        ("synthesis.hardware.precision", "16"),
        ("imputation.count", -1),
        ("imputation.count", "all"),
        ("imputation.methods", []),
        ("imputation.batch_pixels", 0),
        ("imputation.label_caution.followed", 1.1),
        ("evaluation.body_quantile", 2),
        ("evaluation.bootstrap_samples", 0),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(values, path, value):
    with pytest.raises(ValueError, match=path.split(".")[-1]):
        build(changed(values, path, value), path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ingestion.split.train": 0.9}, r"train \+ validation \+ test must be 1, got 1\.4"),
        ({"anisotropization.profile": "box"}, "profile box with fwhm None"),
        ({"anisotropization.fwhm": 4.0}, r"profile point with fwhm 4\.0"),
        ({"methods.iia.kind": "gan"}, r"methods\.iia\.kind: expected one of adapted, .*got 'gan'"),
        ({"synthesis.preset": "best"}, "'best' is not defined; there is "),
        ({"synthesis.window.low": 99.5}, r"low must be below high, got 99\.5 and 99\.5"),
        ({"imputation.count": None}, "set one of count and target_spacing, got None, None"),
        ({"imputation.label_caution.averaged": 4}, "odd number of pixels, got 4; set 3 or 5"),
        ({"imputation.label_caution.nearby": 6}, "odd number of pixels, got 6; set 5 or 7"),
        ({"synthesis.optimisation.frozen": ["refinement"]}, "flow_network; got refinement"),
        ({"synthesis.optimisation.frozen": ["flow_network"]}, "not all, .* got flow_network"),
        ({"imputation.target_spacing": 1.0}, "set one of count and target_spacing, got N_A, 1"),
    ],
)
def test_values_that_contradict_each_other_are_refused(values, changes, message):
    for path, value in changes.items():
        changed(values, path, value)
    first = next(iter(changes))
    with pytest.raises(ValueError, match=message):
        check_entries(values) if first.startswith("methods") else build(values, first)


def test_a_perceptual_weight_needs_features(values):
    preset = values["synthesis"]["preset"]
    changed(values, f"synthesis.weights.{preset}.per", 0.5)
    changed(values, "synthesis.perceptual", "none")
    with pytest.raises(ValueError, match=rf"weights\.{preset}\.per is 0\.5 but perceptual"):
        build(values, "synthesis")


def test_a_negative_weight_is_refused(values):
    path = f"synthesis.weights.{values['synthesis']['preset']}.rec"
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        build(changed(values, path, -1), path)


def test_a_count_of_slices_replaces_an_exact_spacing():
    """Where code asks for a count: comparisons, tuning, served models, exact grids."""
    exact = imputation_params(spacing=1.5, exact=True)
    row = models.ComparedMethod(title="", imputed_by="linear", count=1)
    for own in (exact.counted(1), row.rule(exact)):
        assert (own.count, own.target_spacing, own.exact) == (1, None, False)
        models.ImputationParams.model_validate(own.model_dump())


@pytest.mark.parametrize("name", MODELS)
def test_parameters_cannot_be_changed_later(values, name):
    made = build(values, name)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(made, next(iter(values[name])), None)


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_names_of_entries_are_those_there_are(configuration, env):
    check_names(configuration(env)["parameters"])


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("imputation.methods", "one of nearest, .*iia.*, got 'none_such'"),
        ("comparison.presets.table1.engine", "one of unet2d, .*, got 'none_such'"),
        ("comparison.methods.edsr.engine", "one of unet2d, .*, got 'none_such'"),
        (
            "comparison.methods.si_n1.imputed_by",
            "one of none, oracle, nearest, .*, got 'none_such'",
        ),
    ],
)
def test_a_name_without_an_entry_is_refused_with_its_place(configuration, place, expected):
    values = configuration()["parameters"]
    *path, last = place.split(".")
    section = values
    for key in path:
        section = section[key]
    section[last] = ["linear", "none_such"] if last == "methods" else "none_such"
    with pytest.raises(ValueError, match=rf"^{place}: expected {expected}$"):
        check_names(values)


def test_a_row_of_a_method_that_is_not_there_is_refused(configuration):
    values = configuration()["parameters"]
    values["comparison"]["methods"]["none_such"] = {}
    with pytest.raises(ValueError, match=r"comparison\.methods\.none_such\.imputed_by"):
        check_names(values)
