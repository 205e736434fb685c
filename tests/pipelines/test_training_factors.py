"""Subjects, steps, share and transforms of a row or a preset reach the engines."""

from contextlib import contextmanager

import pandas as pd
import pytest

from slicefill.datasets.checkpoints import StateFiles
from slicefill.params import AugmentationParams, ComparisonParams, SegmentationParams
from slicefill.pipelines.augmentation.nodes import assemble_scans, list_slices
from slicefill.pipelines.segmentation import nodes
from slicefill.pipelines.segmentation.nodes import train_segmenters
from slicefill.segmentation.engines import conresnet, unet2d
from slicefill.segmentation.scans import ScanSet
from slicefill.types import Promise

SEEDS = [0, 1, 2, 3, 4, 5]
SUBJECTS = {"a": "1", "b": "1", "c": "2", "d": "3", "e": "4", "f": "4", "g": "5", "h": "6"}
SPLITS = pd.DataFrame(
    {
        "case": [*SUBJECTS],
        "subject": [*SUBJECTS.values()],
        "split": ["train"] * 6 + ["validation", "test"],
    }
)


@pytest.fixture
def study(case, configuration):
    """Cases of the subjects, and how they are varied and segmented."""
    values = configuration("tiny")["parameters"]
    augmentation = AugmentationParams(**{**values["augmentation"], "through_plane": "auto"})
    cases = {name: Promise(lambda s=s: case(seed=s), name) for s, name in enumerate(SUBJECTS)}
    return cases, augmentation, SegmentationParams(**{**values["segmentation"], "seeds": SEEDS})


@pytest.fixture
def given(study, tmp_path, monkeypatch):
    """What the engine is given, by seed, for a row and a number of subjects."""
    cases, augmentation, params = study

    def train(subjects=None, **row):
        preset = {"title": "", "engine": "unet2d", "methods": ["mine"], "reference": "mine"}
        table = {"own": {**preset, "subjects": subjects}}
        methods = {"mine": {"imputed_by": "none", **row}}
        comparison = ComparisonParams(preset="own", presets=table, methods=methods)
        manifest = list_slices(cases, {}, SPLITS, augmentation, comparison)
        manifest.to_csv(tmp_path / "slices.csv", index=False)
        read = pd.read_csv(tmp_path / "slices.csv", dtype={"case": str}, keep_default_na=False)
        seen = {}

        def note(data, params, setting):
            seen[setting.seed] = data, setting
            return "mark"

        monkeypatch.setattr(unet2d, "training_fingerprint", note)
        scans = assemble_scans(read, cases, {}, augmentation)
        train_segmenters(scans, StateFiles(tmp_path / "last"), params, augmentation)
        return seen

    return train


def test_a_network_without_a_label_to_learn_is_not_trained(study, tmp_path):
    """As in conf/scans, until its user has named some."""
    _, augmentation, params = study
    nameless = params.model_copy(update={"label_names": {0: "background"}})
    own = StateFiles(tmp_path), nameless, augmentation
    scans = {"none": ScanSet("unet2d", True, {}, {}, {}, {}, "none")}
    with pytest.raises(ValueError, match=r"set label_names in conf/<environment>/globals\.yml"):
        train_segmenters(scans, *own)
    assert train_segmenters({}, *own) == {}


def drawn(seen):
    return [{SUBJECTS[case] for case in data.training} for data, _ in seen.values()]


def test_every_seed_draws_its_own_subjects_and_takes_all_their_cases(given):
    two = given(subjects=2)
    assert [len(own) for own in drawn(two)] == [2] * len(SEEDS)
    assert len({frozenset(own) for own in drawn(two)}) > 1
    for data, _ in two.values():
        chosen = {SUBJECTS[case] for case in data.training}
        everything = {case for case in "abcdef" if SUBJECTS[case] in chosen}
        assert set(data.training) == everything
        assert set(data.validation) == {"g"}


def test_rows_see_the_same_subjects_and_more_subjects_contain_fewer(given):
    two, three = drawn(given(subjects=2)), drawn(given(subjects=3))
    assert two == drawn(given(subjects=2, transforms=False, steps=4))
    assert all(few < many for few, many in zip(two, three, strict=True))
    assert drawn(given()) == drawn(given(subjects=4)) == [{"1", "2", "3", "4"}] * len(SEEDS)


def test_more_subjects_than_there_are_is_refused(given):
    with pytest.raises(ValueError, match=r"at least 5 training subjects .* got 4"):
        given(subjects=5)


def test_steps_share_and_transforms_of_a_row_reach_the_engine(given):
    usual = given()[0][1]
    other = given(steps=2.5, synthetic_fraction=0.25, transforms=False)[0][1]
    steps = usual.params.optimisation.steps_per_epoch
    assert other.params.optimisation.steps_per_epoch == round(2.5 * steps)
    assert other.params.optimisation.epochs == usual.params.optimisation.epochs
    assert (usual.augmentation.synthetic_fraction, bool(usual.augmentation.transforms)) == (
        None,
        True,
    )
    assert (other.augmentation.synthetic_fraction, other.augmentation.transforms) == (0.25, [])


def test_transforms_and_patches_of_a_row_are_added_to_the_usual_ones(given):
    warp = {"kind": "spline_warp", "probability": 0.8, "displacement": [0.0, 0.2, 0.2]}
    usual = given()[0][1]
    other = given(add_transforms=[warp], lesions={"hard": "gradient", "distance": 5})[0][1]
    assert other.augmentation.transforms == [warp, *usual.augmentation.transforms]
    alone = given(add_transforms=[warp], transforms=False)[0][1]
    assert alone.augmentation.transforms == [warp]
    assert usual.params.optimisation.lesions is None
    found = other.params.optimisation.lesions
    assert (found.hard, found.distance, found.negatives) == ("gradient", 5, 100)


@pytest.mark.parametrize("own", [{"lesions": {}}, {"add_transforms": [{"kind": "fbp_kernel"}]}])
def test_rows_that_draw_or_vary_otherwise_do_not_share_a_network(own):
    methods = {"none": {}, "same": {"imputed_by": "none"}, "other": {"imputed_by": "none", **own}}
    preset = {"title": "", "engine": "unet2d", "methods": [*methods], "reference": "none"}
    comparison = ComparisonParams(preset="own", presets={"own": preset}, methods=methods)
    assert [comparison.network(name) for name in methods] == ["none", "none", "other"]


def test_every_engine_is_tracked_in_the_run_of_its_row(study, tmp_path, monkeypatch):
    """Rows that learn from the same and differ by engine; one of them is there twice."""
    cases, augmentation, params = study
    params = params.model_copy(update={"seeds": [0]})
    row = {"imputed_by": "none"}
    methods = {"one": row, "two": {**row, "engine": "conresnet"}, "again": row}
    preset = {"title": "", "engine": "unet2d", "methods": [*methods], "reference": "one"}
    comparison = ComparisonParams(preset="own", presets={"own": preset}, methods=methods)
    manifest = list_slices(cases, {}, SPLITS, augmentation, comparison)
    scans = assemble_scans(manifest, cases, {}, augmentation)
    runs = []

    @contextmanager
    def child_run(name):
        runs.append([name])
        yield

    monkeypatch.setattr(nodes.tracking, "child_run", child_run)
    monkeypatch.setattr(nodes.tracking, "log_params", lambda told: runs[-1].append(told["engine"]))
    monkeypatch.setattr(unet2d, "train", lambda *given: {})
    monkeypatch.setattr(conresnet, "train", lambda *given: {})
    states = StateFiles(tmp_path / "last")
    for promise in train_segmenters(scans, states, params, augmentation).values():
        promise.make()
    assert runs == [["one", "unet2d"], ["two", "conresnet"]]
