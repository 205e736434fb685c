"""What the experiments in conf/ promise; that each is valid is in test_params and test_catalog."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import classical_imputer
from slicefill.imputation.methods import find_method
from slicefill.ingestion.splits import split_cases
from slicefill.ingestion.subjects import subject_of
from slicefill.params import ImputationParams, IngestionParams
from slicefill.simulation.subsampling import AnisotropizationParams, subsample
from slicefill.types import Case

from .conftest import ROOT
from .test_params import ENVIRONMENTS

MADE = ("base", "tiny", "pretraining", "pretraining_gpu", "pretraining_planes")  # need no scans
OTHERS = [env for env in ENVIRONMENTS if env not in MADE]  # those with scans of theirs
PAPER = ["brats", "lits", "prostate"]


@pytest.fixture
def ingestion(configuration):
    return lambda env: IngestionParams(**configuration(env)["parameters"]["ingestion"])


def cases(count):
    names = [f"case_{number:03d}" for number in range(count)]
    return pd.DataFrame({"case": names, "subject": names, "label": "label.nii.gz"})


def sizes(manifest, params):
    split = split_cases(manifest, params.split)["split"]
    return tuple((split == name).sum() for name in ("train", "validation", "test"))


@pytest.mark.parametrize(
    ("env", "count", "expected"),
    [("brats", 369, (56, 14, 30)), ("lits", 131, (74, 18, 39)), ("prostate", 32, (17, 6, 9))],
)
def test_the_splits_have_the_sizes_of_the_paper(ingestion, env, count, expected):
    """Of BraTS the paper takes 100 cases."""
    params = ingestion(env)
    assert sizes(cases(min(count, params.limit or count)), params) == expected


@pytest.mark.parametrize("env", PAPER)
def test_the_paper_s_method_trains_with_the_paper_s_numbers(configuration, env):
    """Through its entry, its section and its preset, as a run puts them together."""
    params = find_method("si", configuration(env)["parameters"]).params
    options = params.optimisation
    assert (options.learning_rate, options.batch, options.epochs) == (1e-3, 2, 30)
    assert (params.lambdas["adv"], params.lambdas["tp_smooth"]) == (0.05, 0.467)
    assert params.lambdas["per"] > 0
    assert (params.groups.in_plane, params.groups.inner) == (0, "N_A")
    assert params.keeps_last
    parts = find_method("si_without_gd_ld", configuration(env)["parameters"]).params
    assert parts.lambdas == {name: own for name, own in params.lambdas.items() if name != "adv"}


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_rows_of_the_paper_train_on_acquired_slices_alone_whatever_the_experiment(
    configuration, env
):
    parameters = configuration(env)["parameters"]
    rows = parameters["comparison"]["methods"]
    inner = {"si_n1": (1, 1), "si_n2": (2, 2), "si_n3": (3, 3)}
    paper = ["si", "si_na", "iia", *inner, *(name for name in rows if "_without_" in name)]
    for row in paper:
        method = rows[row].get("imputed_by", row)
        groups = find_method(method, parameters).params.groups
        assert (groups.through_plane, groups.in_plane) == (1, 0), row
        assert groups.inner == inner.get(row, "N_A"), row
        assert rows[row].get("count", "N_A") == (inner[row][0] if row in inner else "N_A")
    assert "ours" in rows["slice_imputation"]["title"]


@pytest.mark.parametrize(
    ("env", "kept", "dense"),
    [("brats", 40, 157), ("lits", 157, 157), ("prostate", 157, 157)],
)
def test_slices_are_removed_and_imputed_only_where_the_paper_does(
    configuration, case, env, kept, dense
):
    """Of an isotropic case of 157 slices."""
    parameters = configuration(env)["parameters"]
    isotropic = case(shape=(4, 4, 157), affine=np.eye(4))
    acquired = subsample(isotropic, AnisotropizationParams(**parameters["anisotropization"])).image
    assert acquired.stored.shape[2] == kept
    params = ImputationParams(**parameters["imputation"])
    imputed = impute_case(Case(acquired), classical_imputer("nearest", params), params)
    assert imputed.image.stored.shape[2] == dense


@pytest.mark.parametrize("env", OTHERS)
def test_label_names_are_those_of_the_experiment_alone(configuration, env):
    """Merged with conf/base, an experiment would also have the labels of the sample."""
    named = yaml.safe_load((ROOT / "conf" / env / "globals.yml").read_text())["label_names"]
    parameters = configuration(env)["parameters"]
    assert parameters["ingestion"]["labels"]["names"] == named
    assert parameters["evaluation"]["label_names"] == named


@pytest.mark.parametrize("env", [env for env in ENVIRONMENTS if env != "base"])
def test_results_lie_under_the_name_of_the_environment(configuration, env):
    assert configuration(env)["parameters"]["experiment"].startswith(env)


def test_own_scans_are_named_after_their_folder_unless_told_otherwise(
    configuration, monkeypatch, tmp_path
):
    def name(raw):
        monkeypatch.setenv("SLICEFILL_RAW", str(raw))
        return configuration("scans")["globals"]["experiment"]

    folders = [tmp_path / "a" / "Größe & co", tmp_path / "b" / "Größe & co", tmp_path / "a" / "x"]
    names = [name(folder) for folder in folders]
    assert len(set(names)) == 3
    assert all(one.startswith("Größe_co_") for one in names[:2])
    assert name(f"{folders[0]}/") == name(tmp_path / "b" / ".." / "a" / "Größe & co") == names[0]
    monkeypatch.setenv("SLICEFILL_EXPERIMENT", "mine")
    assert name(folders[0]) == "mine"


@pytest.mark.parametrize(
    ("override", "folder"),
    [
        ({}, "S_x4"),
        ({"count": "N_A"}, "S_x4"),
        ({"count": 1}, "S_x4_count1"),
        ({"count": None, "target_spacing": 1.5}, "S_x4_1.5mm"),
    ],
)
def test_what_depends_on_the_grid_lies_in_its_folder(configuration, override, folder):
    catalog = configuration("base", imputation=override)["catalog"]
    for name in ("imputed_cases", "predictions"):
        assert f"/{folder}/" in catalog[name]["path"]
    assert f"/{folder}/" in catalog["report"]["filepath"]
    for name in ("acquired_cases", "models"):  # they serve every grid
        assert f"{catalog[name]['path']}/".partition("/sample/")[2].startswith("S_x4/")


@pytest.mark.parametrize("env", OTHERS)
def test_raw_scans_are_where_the_user_says(configuration, env, monkeypatch):
    monkeypatch.setenv("SLICEFILL_RAW", "somewhere/else")
    assert configuration(env)["catalog"]["raw_folder"]["path"] == "somewhere/else"


@pytest.mark.parametrize("name", ["a ${HOME} b", r"back\${slash}", r"two\\${oc.env:PATH}", "$x"])
def test_a_folder_is_used_as_it_is_whatever_its_name(configuration, monkeypatch, tmp_path, name):
    folder = tmp_path / name
    monkeypatch.setenv("SLICEFILL_RAW", str(folder))
    monkeypatch.setenv("SLICEFILL_ROOT", str(folder))
    config = configuration("scans")
    assert config["catalog"]["raw_folder"]["path"] == str(folder)
    assert Path(config["catalog"]["manifest"]["filepath"]).parents[2] == folder
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:6]
    assert config["globals"]["experiment"].endswith(f"_{digest}")


@pytest.mark.parametrize(
    ("env", "one", "same"),
    [
        ("hippocampus", "hippocampus_007", "hippocampus_008"),
        ("cine_sax", "SC-HF-I-1_ED", "SC-HF-I-1_ES"),
    ],
)
def test_scans_of_one_subject_are_known_as_such(ingestion, env, one, same):
    assert subject_of(one, ingestion(env)) == subject_of(same, ingestion(env))


def test_cine_sax_has_a_subject_for_each_part(ingestion):
    assert sizes(cases(3), ingestion("cine_sax")) == (1, 1, 1)


@pytest.mark.parametrize(("env", "count"), [("scans", 3), ("scans", 40)])
def test_where_nothing_is_removed_all_subjects_train_or_validate(ingestion, env, count):
    train, validation, test = sizes(cases(count), ingestion(env))
    assert train > validation > 0
    assert test == 0
