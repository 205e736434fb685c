"""The nodes of the fusion, over data sets on disk as the catalog has them."""

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from slicefill.datasets.cases import CasesDataset
from slicefill.datasets.checkpoints import StatesDataset
from slicefill.params import ImputationParams
from slicefill.params.fused_views import FusedViewsParams
from slicefill.params.segmentation import SegmentationParams
from slicefill.pipelines.fusion.learning import train_aligners
from slicefill.pipelines.fusion.nodes import fuse_groups, register_groups
from slicefill.pipelines.fusion.scoring import draw_fusion, score_groups, tabulate_fusion
from slicefill.pipelines.fusion.segmenting import segment_views
from slicefill.pipelines.fusion.taking import take_training_views, take_views
from slicefill.types import Case, Promise, Volume

SPLITS = pd.DataFrame(
    {"case": ["a", "b"], "subject": ["a", "b"], "split": ["test", "test"], "fold": [0, 1]}
)
MANIFEST = SPLITS[["case", "subject"]].assign(views=["a", "b"], orientation="RAS", through_plane=2)


@pytest.fixture(scope="module")
def isotropic():
    """A cylinder with a ball in it: no direction shows it as another does."""
    places = np.stack(np.indices((30, 32, 28)), -1) - [15, 15, 14]
    label = np.zeros((30, 32, 28), np.uint8)
    label[(np.linalg.norm(places[..., :2], axis=-1) < 9) & (abs(places[..., 2]) < 11)] = 1
    label[np.linalg.norm(places - [2, -3, 4], axis=-1) < 5] = 2
    image = (100.0 * label).astype(np.float32)
    image += np.random.default_rng(0).uniform(0, 10, label.shape).astype(np.float32) * (label > 0)
    return Case(*[Volume(each, nib.Nifti1Image(each, np.eye(4)).header) for each in (image, label)])


@pytest.fixture
def params(configuration):
    values = configuration()["parameters"]["fusion"]
    simulate = {"slice_mm": 4, "field_mm": None, "rotation": 0, "translation": 3}
    methods = {
        "alone": {"title": "one", "views": 1, "registration": "header"},
        "header": {"title": "header", "registration": "header"},
        "truth": {"title": "truth", "registration": "truth"},
    }
    return FusedViewsParams.model_validate({
        **values,
        "simulate": simulate,
        "registrations": {"header": {"kind": "header"}, "truth": {"kind": "truth"}},
        "methods": methods,
        "label_names": {0: "background", 1: "outer", 2: "ball"},
        "least_similarity": 0.0,
        "least_crossing": 0.0,
    })  # fmt: skip


@pytest.fixture
def imputation(configuration):
    values = configuration()["parameters"]["imputation"]
    return ImputationParams.model_validate(
        {**values, "count": "nearest", "target_spacing": None, "through_plane": "auto"}
    )


class Study:
    """The data sets of the pipeline in a folder, and its nodes over them."""

    def __init__(self, folder: Path, params, imputation, parameters) -> None:
        kinds = {
            "views": "case", "predictions": "prediction", "registrations": "finding",
            "fused": "case", "scored": "finding",
        }  # fmt: skip
        self.data = {
            name: CasesDataset(path=str(folder / name), made_by="fusion", content=content)
            for name, content in kinds.items()
        }
        self.params, self.imputation, self.parameters = params, imputation, parameters

    def _kept(self, name, promises):
        self.data[name].save(promises)
        return self.data[name].load()

    def run(self, cases, manifest=MANIFEST):
        fused, scored, found, groups = self._made(cases, manifest)
        tables = tabulate_fusion(scored, found, groups, self.params)
        return tables, draw_fusion(fused, cases, groups, tables[0], self.params)

    def score(self, cases):
        _, scored, found, groups = self._made(cases, MANIFEST)
        return tabulate_fusion(scored, found, groups, self.params)[0]

    def _made(self, cases, manifest):
        views, groups = take_views(cases, manifest, SPLITS, self.params)
        views = self._kept("views", views)
        found = self._kept("registrations", register_groups(views, groups, {}, {}, self.params))
        own = self.params, self.imputation, self.parameters
        segmentation = SegmentationParams.model_validate({
            **self.parameters["segmentation"], "label_names": self.params.label_names
        })  # fmt: skip
        predictions = segment_views(views, {}, {}, self.params, segmentation, *own[1:])
        predictions = self._kept("predictions", predictions)
        fused = fuse_groups(views, groups, found, predictions, *own)
        fused = self._kept("fused", fused)
        scored = self._kept("scored", score_groups(fused, cases, groups, self.params))
        return fused, scored, found, groups


@pytest.fixture
def study(tmp_path, params, imputation, configuration):
    return Study(tmp_path, params, imputation, configuration()["parameters"])


@pytest.fixture
def cases(isotropic):
    return {name: Promise(lambda: isotropic, name) for name in ("a", "b")}


def test_a_study_without_test_subjects_is_told_which_cases_to_take(params):
    nobody = SPLITS.assign(split="train")
    with pytest.raises(ValueError, match=r"found none; set fusion\.cases=all"):
        take_views({}, MANIFEST, nobody, params)
    assert params.cases == "test"


def test_ways_are_scored_against_the_truth_and_views_against_their_motion(study, cases):
    (scores, errors, summary, text), figures = study.run(cases)
    assert len(scores) == 6
    means = summary[summary["metric"] == "dice_mean"].set_index("method")["mean"]
    assert means["truth"] > means["alone"] + 0.01
    assert means["truth"] > means["header"]
    assert {"dice_ball", "rms_mean", "missed_mean", "excess_outer"} <= set(summary["metric"])
    error = errors.groupby("registration")["error_mm"]
    assert error.max()["truth"] == pytest.approx(0, abs=1e-9)
    for row in errors[errors["registration"] == "header"].itertuples():
        view = study.data["views"].load()[f"{row.case}/{row.view}"].make()
        assert row.error_mm == pytest.approx(np.linalg.norm(view.record["shift_mm"]))
    assert "| truth" in text
    assert set(figures) == {"fusion_scores", "fused_a"}


def test_a_second_run_makes_nothing_again_and_another_rule_only_its_row(study, cases, params):
    study.run(cases)
    study.run(cases)
    assert {name: each.made for name, each in study.data.items()} == dict.fromkeys(study.data, 0)
    changed = {**params.methods["truth"].model_dump(), "rule": {"kind": "vote"}}
    methods = {**params.model_dump()["methods"], "truth": changed}
    study.params = FusedViewsParams.model_validate({**params.model_dump(), "methods": methods})
    study.run(cases)
    made = {name: each.made for name, each in study.data.items()}
    remade = {"views": 0, "predictions": 0, "registrations": 0, "fused": 2, "scored": 2}
    assert made == remade


def test_tables_hold_what_this_run_asks_for_alone(study, cases, params):
    """Not the rows and groups of an earlier run, whose results lie in the same folders."""
    study.run(cases)
    fewer = {"alone": params.methods["alone"], "header": params.methods["header"]}
    study.params = params.model_copy(update={"methods": fewer})
    (scores, errors, _, text), _ = study.run({"a": cases["a"]})
    assert set(scores["method"] + scores["case"]) == {"alonea", "headera"}
    assert set(errors["registration"] + errors["case"]) == {"headera"}
    assert "truth" not in text


def test_another_reference_is_another_registration_and_another_fusion(study, cases):
    """The first view is the reference: the order of views counts."""
    study.run(cases)
    views, groups = study.data["views"].load(), take_views(cases, MANIFEST, SPLITS, study.params)[1]
    turned = groups.iloc[::-1]
    found, other = (register_groups(views, g, {}, {}, study.params) for g in (groups, turned))
    assert found["header/a"].fingerprint != other["header/a"].fingerprint
    rest = {}, study.params, study.imputation, study.parameters
    fused, again = (fuse_groups(views, g, found, *rest) for g in (groups, turned))
    assert fused["truth/a"].fingerprint != again["truth/a"].fingerprint


def test_a_bad_case_is_set_aside_and_the_others_go_on(study, cases, isotropic):
    study.run({**cases, "b": Promise(lambda: replace(isotropic, label=None), "without")})
    assert set(study.data["scored"].failures()) == {"alone/b", "header/b", "truth/b"}
    assert len(study.data["scored"].load()) == 3

    def broken():
        raise OSError("damaged")

    (scores, errors, *_), _ = study.run({**cases, "b": Promise(broken, "broken")})
    assert set(study.data["views"].failures()) == {"b/axial", "b/coronal", "b/sagittal"}
    assert set(scores["case"]) == set(errors["case"]) == {"a"}


def test_scans_are_views_where_the_manifest_says_so(study, cases, params, isotropic):
    from slicefill.simulation.views import simulate_views

    views = simulate_views(isotropic, params.simulate, 1)
    study.params = params.model_copy(update={"simulate": None})
    own = {"a": Promise(lambda: views["sagittal"], "1"), "b": Promise(lambda: views["axial"], "2")}
    manifest = MANIFEST.assign(
        views="p", orientation=["ASR", "RAS"], through_plane=[2, 2], subject="p"
    )
    (scores, *_), _ = study.run(own, manifest)
    assert scores.empty
    assert set(study.data["fused"].load()) == {"alone/p", "header/p", "truth/p"}
    fused = study.data["fused"].load()["truth/p"].make()
    assert fused.record["fusion"]["reference"] == "b"  # the axial one
    with pytest.raises(ValueError, match=r"set ingestion\.views_pattern"):
        study.run(own)


def test_of_views_without_label_maps_images_are_fused_though_no_row_asks_for_them(
    study, params, isotropic
):
    from slicefill.simulation.views import simulate_views

    views = simulate_views(isotropic, params.simulate, 1)
    study.params = params.model_copy(update={"simulate": None})
    own = {
        "a": Promise(lambda: replace(views["axial"], label=None), "1"),
        "b": Promise(lambda: replace(views["sagittal"], label=None), "2"),
    }
    manifest = MANIFEST.assign(
        views="p", orientation=["RAS", "ASR"], through_plane=[2, 2], subject="p"
    )
    study.run(own, manifest)
    fused = {name: case.make() for name, case in study.data["fused"].load().items()}
    alone, both = (fused[f"{name}/p"] for name in ("alone", "truth"))
    assert both.record["fusion"]["images"]["fused"] == ["a", "b"]
    assert (both.image.stored != alone.image.stored).any()
    assert not params.methods["truth"].images


def test_a_scan_that_is_the_only_view_is_named(params, cases, caplog):
    splits = pd.concat([SPLITS, SPLITS[:1].assign(case="c", subject="c")])
    seen = {"views": ["p", "p", "c"], "orientation": "RAS", "through_plane": 2}
    own = params.model_copy(update={"simulate": None})
    take_views({**cases, "c": cases["a"]}, splits[["case", "subject"]].assign(**seen), splits, own)
    assert "only view of their object: c" in caplog.text


def by_intensity(scan):
    """A network: the label is the hundreds of the intensity. Its views have a gamma of 1."""
    found = np.clip(np.rint(scan.image[:, 0] / 100), 0, 2)
    return np.stack([found == number for number in range(3)]).astype(np.float32)


def shrunk(scan):
    """A network that sees the ball alone."""
    inner = by_intensity(scan)[2]
    return np.stack([1 - inner, 0 * inner, inner])


def _network(params, name, **changes):
    values = params.model_dump()
    values["simulate"] |= {"gamma": (1, 1), "gain": (1, 1)}
    own = {"network": f"{__name__}:{name}", "engine": "unet2d", "filled_by": None}
    values |= {"masks": "network", "segmenter": own | changes}
    return FusedViewsParams.model_validate(values)


@pytest.mark.parametrize("filled_by", [None, "nearest"])
def test_predicted_labels_are_fused_instead_of_given_ones(study, cases, params, filled_by):
    """By networks whose answer is known: one is right, the other sees one of two labels."""
    values = _network(params, "by_intensity", filled_by=filled_by).model_dump()
    study.params = FusedViewsParams.model_validate(values)
    scores = study.score({"a": cases["a"]})
    assert (scores["dice_mean"] > 0.8).all()
    values["segmenter"]["network"] = f"{__name__}:shrunk"
    values["methods"]["header"]["masks"] = "given"
    study.params = FusedViewsParams.model_validate(values)
    scores = study.score({"a": cases["a"]}).set_index("method")
    assert (scores["dice_outer"].drop("header") == 0).all()  # given labels are not looked at
    assert (scores["dice_ball"] > 0.6).all()
    assert scores.loc["header", "dice_outer"] > 0.5
    fused = study.data["fused"].load()["truth/a"].make()
    assert fused.record["fusion"]["labels"]["acquired_slices"] == "fused"
    planes = ("axial", "coronal", "sagittal")
    assert set(study.data["predictions"].load()) == {f"network/a/{plane}" for plane in planes}


def test_views_of_other_subjects_than_those_of_test_are_learned_from(
    study, cases, params, tmp_path
):
    splits = SPLITS.assign(split=["train", "test"])
    values = params.model_dump()
    values["registrations"]["learned"] = {"kind": "alignnet"}
    values["methods"]["truth"]["registration"] = "learned"
    learning = FusedViewsParams.model_validate(values)
    views, groups = take_training_views(cases, MANIFEST, splits, learning)
    assert set(groups["group"]) == {"a"}
    assert len(views) == 3
    networks = SegmentationParams.model_validate({
        **study.parameters["segmentation"], "hardware": {"devices": 2, "accelerator": "mps"}
    })  # fmt: skip
    states = StatesDataset(path=str(tmp_path)).load()
    promised = train_aligners(views, groups, splits, states, learning, networks)
    assert set(promised) == {"learned"}
    with pytest.raises(ValueError, match="accelerator mps: expected such"):  # one device of theirs
        promised["learned"].make()
    nothing, none = take_training_views(cases, MANIFEST, splits, params)
    assert nothing == {}
    assert none.empty
    assert train_aligners(nothing, none, splits, states, params, networks) == {}


def test_without_its_network_a_registration_has_no_rows_and_others_go_on(study, cases, params):
    values = params.model_dump()
    values["registrations"]["learned"] = {"kind": "alignnet"}
    values["methods"]["truth"]["registration"] = "learned"
    learning = FusedViewsParams.model_validate(values)
    views, groups = take_views(cases, MANIFEST, SPLITS, learning)
    found = register_groups(views, groups, {}, {}, learning)
    assert set(found) == {"header/a", "header/b"}
    own = learning, study.imputation, study.parameters
    fused = fuse_groups(views, groups, found, {}, *own)
    assert set(fused) == {"alone/a", "alone/b", "header/a", "header/b"}
    exact = study.imputation.model_copy(update={"exact": True})
    with pytest.raises(ValueError, match=r"imputation\.exact: expected false"):
        fuse_groups(views, groups, found, {}, learning, exact, study.parameters)
