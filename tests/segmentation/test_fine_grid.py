"""How a network of acquired slices comes to all slices of an imputed scan."""

import numpy as np
import pytest
import torch

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import classical_imputer
from slicefill.params import AugmentationParams, SegmentationParams
from slicefill.segmentation.engines import unet2d
from slicefill.segmentation.fine_grid import find_way, fuse_soft, label_mover, soften
from slicefill.segmentation.networks import build_network
from slicefill.segmentation.prediction import make_predictor
from slicefill.segmentation.scans import Scan, make_scan
from slicefill.types import Case

STEP, DEPTH = 4, 3


@pytest.fixture
def scan():
    """Three acquired slices, three synthetic ones between each two."""
    image = np.random.default_rng(0).random(((DEPTH - 1) * STEP + 1, 1, 6, 5)).astype(np.float32)
    acquired = np.arange(len(image)) % STEP == 0
    label = np.zeros((len(image), 6, 5), np.int64)
    return Scan(image, label, label.astype(np.float32), acquired, np.array([1.0, 1, 1]), 0)


def by_intensity(scan):
    """Probabilities of two classes."""
    inside = scan.image[:, 0]
    return np.stack([1 - inside, inside])


def test_a_grid_is_segmented_as_it_is(scan):
    np.testing.assert_array_equal(find_way("grid", by_intensity)(scan), by_intensity(scan))


@pytest.mark.parametrize("rule", ["nearest", "linear", "cubic"])
def test_probabilities_are_interpolated_and_acquired_slices_keep_theirs(scan, rule):
    found = find_way("probabilities", by_intensity, rule=rule)(scan)
    assert found.shape == (2, 9, 6, 5)
    np.testing.assert_array_equal(found[:, ::STEP], by_intensity(scan)[:, ::STEP])
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-6)
    if rule == "linear":
        first, last = scan.image[0, 0], scan.image[4, 0]
        np.testing.assert_allclose(found[1, 1], 0.75 * first + 0.25 * last, atol=1e-6)


def test_logarithms_are_interpolated_to_the_geometric_mean(scan):
    found = find_way("probabilities", by_intensity, rule="linear", logarithms=True)(scan)
    first, last = scan.image[0, 0], scan.image[4, 0]
    inside, outside = np.sqrt(first * last), np.sqrt((1 - first) * (1 - last))
    np.testing.assert_allclose(found[1, 2], inside / (inside + outside), atol=1e-5)


def test_labels_are_moved_and_certain(scan):
    def move(classes):
        assert classes.shape == (DEPTH, 6, 5)
        return np.repeat(classes, STEP, axis=0)[: (DEPTH - 1) * STEP + 1]

    found = find_way("labels", by_intensity, move=move)(scan)
    np.testing.assert_array_equal(found[1], move((scan.image[::STEP, 0] > 0.5).astype(int)))
    assert set(np.unique(found)) == {0, 1}


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [
        ("probabilities", {"rule": "shape_based"}, "nearest, linear, cubic, got shape_based"),
        ("probabilities", {}, "got a method"),
        ("labels", {}, "labels: expected a method"),
        ("fused", {}, "fused: expected a method"),
    ],
)
def test_a_way_that_cannot_be_gone_is_refused(name, given, reason):
    with pytest.raises(ValueError, match=reason):
        find_way(name, by_intensity, **given)


def test_softened_labels_keep_the_label_and_fall_off_from_its_outline():
    classes = np.random.default_rng(0).integers(0, 3, (2, 9, 8))
    soft = soften(classes, 3, 0.4)
    np.testing.assert_array_equal(soft.argmax(0), classes)
    np.testing.assert_allclose(soft.sum(0), 1, atol=1e-6)
    bar = np.array([[[0, 0, 0, 1, 1, 1]]])
    # ±0.5 pixels from the outline, of both classes: e^(1 / softness) times the probability
    assert soften(bar, 2, 2.0)[1, 0, 0, 3] == pytest.approx(1 / (1 + np.exp(-0.5)))


def test_a_fusion_is_the_mean_and_acquired_slices_stay_as_they_were_predicted():
    rng = np.random.default_rng(1)
    fine = rng.dirichlet(np.ones(2), (5, 4, 3)).transpose(3, 0, 1, 2).astype(np.float32)
    moved = rng.integers(0, 2, (5, 4, 3))
    places = np.arange(5) % 2 == 0
    fused = fuse_soft(fine, moved, places=places, softness=1.0)
    np.testing.assert_allclose(fused[:, ::2], fine[:, ::2], atol=1e-6)
    soft = soften(moved, 2, 1.0)
    np.testing.assert_allclose(fused[:, 1::2], (fine[:, 1::2] + soft[:, 1::2]) / 2, atol=1e-6)


def test_a_network_that_looks_across_slices_sees_them_as_far_apart_as_acquired_ones(scan):
    """It takes scans of its own spacing alone, and compares every slice with the one before it."""
    thick = 1.0 * STEP

    def across(scan):
        assert scan.spacing[0] == thick
        inside = 0.1 + 0.4 * np.abs(np.diff(scan.image[:, 0], axis=0, prepend=scan.image[:1, 0]))
        return np.stack([1 - inside, inside])

    def move(classes):
        return np.repeat(classes, STEP, axis=0)[: len(scan.image)]

    found = find_way("fused", across, move=move)(scan)
    acquired = scan.image[::STEP, 0]
    expected = 0.1 + 0.4 * np.abs(np.diff(acquired, axis=0, prepend=acquired[:1]))
    np.testing.assert_allclose(found[1, ::STEP], expected, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_predicted_labels_are_imputed_as_given_ones_would_be(axis, case, imputation_params):
    affine = np.diag([*np.insert([1.0, 1.0], axis, 4.0), 1.0])
    own = case(shape=tuple(np.insert([9, 8], axis, 4)), affine=affine)
    rule = imputation_params(through_plane="auto", count=2)
    imputer = classical_imputer("shape_based", rule)
    expected = impute_case(own, imputer, rule).label.stored
    move = label_mover(Case(own.image), imputer, rule)
    found = move(np.moveaxis(own.label.stored, axis, 0))
    np.testing.assert_array_equal(found, np.moveaxis(expected, axis, 0))


def test_a_method_without_labels_cannot_move_them(case, imputation_params, monkeypatch):
    own = case()
    rule = imputation_params(through_plane="auto", count=1)
    imputer = classical_imputer("linear", rule)
    made = Case(impute_case(own, imputer, rule).image)
    monkeypatch.setattr("slicefill.segmentation.fine_grid.impute_case", lambda *given: made)
    with pytest.raises(ValueError, match="linear: expected a method that imputes labels"):
        label_mover(own, imputer, rule)(np.zeros((4, 12, 10), int))


def test_phases_of_a_2d_network_are_its_segmentation_of_the_grid(
    case, imputation_params, configuration
):
    """Slices are segmented one by one: what is interleaved is the same."""
    values = configuration("tiny")["parameters"]
    params = SegmentationParams(**{**values["segmentation"], "label_names": {0: "a", 1: "b"}})
    torch.manual_seed(0)
    design = {
        "dims": 2, "channels": 1, "classes": 2, "width": 4, "dropout": 0.0, "patch": [32, 32],
    }  # fmt: skip
    made = {"design": design, "weights": build_network(design).state_dict()}
    predictor = make_predictor(unet2d, made, params)
    rule = imputation_params(through_plane="auto", count=3)
    own = case(shape=(35, 21, 5))
    seen = AugmentationParams(**{**values["augmentation"], "through_plane": "auto"})
    imputed = impute_case(own, classical_imputer("linear", rule), rule)
    fine = make_scan(own, imputed, None, seen)
    whole = find_way("grid", predictor)(fine)
    np.testing.assert_allclose(find_way("phases", predictor)(fine), whole, atol=1e-2)
    native = predictor(make_scan(own, None, None, seen))
    np.testing.assert_array_equal(find_way("phases", predictor)(fine)[:, ::4], native)
