"""Confidence as an expected error: evidence, error models, calibration, abstention."""

import json

import numpy as np
import pytest
import torch

from slicefill.imputation.methods.classical import impute_classically
from slicefill.imputation.methods.slice_imputation.infer import FlowImputer, impute_by_flow
from slicefill.imputation.methods.slice_imputation.labels import LabelRule
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel
from slicefill.imputation.methods.slice_imputation.params import NetworkParams, Parts
from slicefill.imputation.uncertainty.calibration import calibrate, compare_known
from slicefill.imputation.uncertainty.confidence import (
    ErrorCalibration,
    fit_error_model,
    impute_with_confidence,
    load_calibration,
)
from slicefill.imputation.uncertainty.evidence import METHODS, Imputed, cycle_error, gather_evidence
from slicefill.params import CalibrationParams, ConfidenceParams
from slicefill.simulation.procedural import procedural_volume
from slicefill.types import Stack

PARTS = {
    "tp_smooth": False,
    "global_discriminator": False,
    "local_discriminator": False,
    "classifier": "joint",
    "refinement": True,
    "residual": 0.2,
    "mix": True,
    "context": True,
    "error": True,
}


@pytest.fixture(scope="module")
def imputer(fabric):
    """An untrained model: it imputes linearly."""
    torch.manual_seed(0)
    network = NetworkParams(width=4, depth=2, block=1, time_form="linear_motion")
    model = SynthesisModel(1, network, Parts(**PARTS)).eval()
    return FlowImputer(model, fabric, 10**6, LabelRule("one_hot"), ensemble=False)


@pytest.fixture
def stirred(imputer):
    """The same model, with weights that move and add something."""
    torch.manual_seed(1)
    kept = {name: value.clone() for name, value in imputer.model.state_dict().items()}
    torch.nn.init.normal_(imputer.model.flow_network.out.weight, std=5)
    torch.nn.init.normal_(imputer.model.refinement.out.weight, std=5)
    yield imputer
    imputer.model.load_state_dict(kept)


def flat(levels, size=(8, 9), label=None):
    """Slices of one intensity each."""
    image = np.ones((len(levels), 1, *size), np.float32) * np.reshape(levels, (-1, 1, 1, 1))
    return Stack(image.astype(np.float32), np.array([[0.0, 1.0]]), label)


def noise(depth=5, channels=1):
    image = np.random.default_rng(0).random((depth, channels, 12, 14), np.float32)
    label = np.digitize(image[:, 0], [0.4]).astype(np.uint8)
    return Stack(image, np.tile([0.0, 1.0], (channels, 1)), label)


def constant(**errors):
    """A calibration that expects the same error of a method, whatever the evidence."""
    maps = {
        name: {"weights": {"apart": 1.0}, "scores": [0.0, 1.0], "errors": [error, error]}
        for name, error in errors.items()
    }
    return {"smoothing": 1, "factors": [2], "with_cycle": maps, "without_cycle": maps}


def calibration_of(fitted, **params):
    return ErrorCalibration(
        fitted, ConfidenceParams(**{"cycle": False, "threshold": 1, "margin": 1} | params)
    )


def features(imputer, stack, positions, smoothing=0, cycle=None):
    synthetic = impute_by_flow(imputer, stack, positions)
    (found,) = gather_evidence(Imputed(imputer, stack, synthetic, positions, smoothing, cycle))
    return found


# --- evidence --------------------------------------------------------------------------------


def test_evidence_of_flat_slices_is_what_one_reckons(imputer):
    """0.1, 0.3, 0.9: steps of 0.2 and 0.6, of which the bend is 0.4; blended, a quarter of the way.

    The parabola through them is 0.1 + 0.2 z² and so 0.1125 at z = 0.25; the line is at 0.15.
    """
    found = features(imputer, flat([0.1, 0.3, 0.9]), [0.25]).features
    expected = {
        "apart": [0.2, 0.6],
        "change": [0.75 * 0.2, 0.75 * 0.6],
        "bend": [0.75 * 0.4, 0.75 * 0.4],
        "noise": [0.4, 0.4],
        "texture": [0, 0],
        "from_linear": [0, 0],
        "from_cubic": [0.15 - 0.1125, 0.45 - (0.1 + 0.2 * 1.25**2)],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name][:, 0, 4, 4], values, atol=1e-6, err_msg=name)
    assert found["predicted"].min() > 0
    np.testing.assert_allclose(found["around"], found["predicted"], rtol=1e-4)  # no smoothing


def test_texture_is_how_far_a_pixel_is_from_those_beside_it(imputer):
    """One slice of two has a dot of 0.4: there 0.4 / 2, beside it a quarter of that."""
    stack = flat([0.5, 0.5])
    stack.image[1, 0, 4, 4] += 0.4
    texture = features(imputer, stack, [0.5]).features["texture"][0, 0]
    np.testing.assert_allclose(texture[4, 3:7], [0.05, 0.2, 0.05, 0], atol=1e-6)


def test_evidence_counts_beyond_the_window_but_not_without_end(imputer):
    """The window is 0 to 1: 0.9 to 1.5 are 0.6 apart, 0.9 to 50 no more than 1.1."""
    for last, apart in ((1.5, 0.6), (50, 1.1)):
        change = features(imputer, flat([0.9, last]), [0.5]).features["change"]
        np.testing.assert_allclose(change, apart, atol=1e-6)


def test_differences_are_averaged_over_squares(imputer):
    stack = flat([0.5, 0.5])
    stack.image[1, 0, 4, 4] = 1.0
    change = features(imputer, stack, [0.5], smoothing=1).features["change"][0, 0]
    assert change[4, 4] == pytest.approx(0.5 / 9)
    assert change[4, 5] == pytest.approx(0.5 / 9)
    assert change[4, 6] == 0


def test_alternatives_are_what_the_classical_methods_impute_in(imputer):
    stack = noise()
    values = features(imputer, stack, [0.25, 0.5]).values
    for name in ("linear", "cubic"):
        expected = impute_classically(name, stack, [0.25, 0.5]).image
        np.testing.assert_allclose(values[name], expected, atol=1e-5)


def test_cycle_error_is_that_of_going_there_and_back(imputer):
    """Linearly: between 0.2 and 0.6 there is 0.4, and between 0.4 and 0.4 again 0.4."""
    stack = flat([0.2, 0.6, 0.2, 0.2])
    error = cycle_error(imputer, stack, impute_by_flow(imputer, stack, [0.5]))
    np.testing.assert_allclose(error[:, 4, 4], [0.2, 0.2, 0.1, 0.1], atol=1e-6)


def test_slices_that_change_evenly_are_predicted_back_without_error(imputer):
    stack = flat([0.1, 0.3, 0.5, 0.7])
    error = cycle_error(imputer, stack, impute_by_flow(imputer, stack, [0.25, 0.5, 0.75]))
    np.testing.assert_allclose(error, 0, atol=1e-6)


def test_cycle_errors_are_carried_linearly_to_the_intervals(imputer):
    cycle = np.ones((3, 8, 9), np.float32) * np.reshape([0.1, 0.3, 0.2], (3, 1, 1))
    cycle = cycle.astype(np.float32)
    found = features(imputer, flat([0.1, 0.3, 0.9]), [0.25], cycle=cycle).features["cycle"]
    np.testing.assert_allclose(found[:, 0, 4, 4], [0.15, 0.275], atol=1e-6)


# --- error models ----------------------------------------------------------------------------


def test_a_known_expectation_is_found_again():
    rng = np.random.default_rng(0)
    evidence = {name: rng.random(40_000) for name in ("told", "noise")}
    model = fit_error_model(evidence, 0.3 * evidence["told"] * rng.exponential(1, 40_000), 16)
    assert model.weights["noise"] < 0.02
    asked = torch.tensor([0.2, 0.5, 0.8])
    found = model.expect({"told": asked, "noise": torch.full((3,), 0.5)})
    np.testing.assert_allclose(found, 0.3 * asked, rtol=0.1)


def test_more_evidence_never_means_less_error():
    rng = np.random.default_rng(1)
    evidence = {name: rng.random(5000) for name in "ab"}
    model = fit_error_model(evidence, rng.random(5000) * (evidence["a"] > 0.7), 32)
    assert len(model.scores) <= 32
    assert (np.diff(model.scores) > 0).all()
    assert (np.diff(model.errors) >= 0).all()
    assert min(model.weights.values()) >= 0


def test_the_order_of_small_errors_counts_as_much_as_that_of_large_ones():
    """Two kinds of voxels: `small` tells of errors of a hundredth, `large` of a half."""
    rng = np.random.default_rng(2)
    few = rng.random(20_000) < 0.05
    evidence = {"small": 0.01 * rng.random(20_000), "large": 0.5 * few * rng.random(20_000)}
    error = (evidence["small"] + evidence["large"]) * rng.exponential(1, 20_000)
    model = fit_error_model(evidence, error, 16)
    assert model.weights["small"] == pytest.approx(1, rel=0.1)
    assert model.weights["large"] == pytest.approx(1, rel=0.1)


def test_without_any_evidence_no_error_is_expected():
    rng = np.random.default_rng(3)
    evidence = {"apart": 0.1 + rng.random(5000)}
    model = fit_error_model(evidence, 0.2 * evidence["apart"], 8)
    expected = model.expect({"apart": torch.tensor([0.0, 0.05, 0.1, 0.5])})
    np.testing.assert_allclose(expected, [0, 0.01, 0.02, 0.1], rtol=0.03, atol=1e-6)


def test_where_nothing_tells_voxels_apart_there_is_no_error_model():
    with pytest.raises(ValueError, match="no evidence tells 50 voxels apart"):
        fit_error_model({"apart": np.zeros(50)}, np.random.default_rng(0).random(50), 8)


# --- calibration -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calibration_params():
    return CalibrationParams(
        factors=[2, 4],
        voxels=4000,
        smoothing=1,
        knots=16,
        seed=0,
        batch_pixels=10**6,
        hardware={"accelerator": "cpu", "devices": 1, "precision": "32-true"},
    )


@pytest.fixture(scope="module")
def calibrated(imputer, params, calibration_params):
    """A checkpoint of the untrained model, calibrated on eight volumes."""
    made = params(parts=PARTS)
    checkpoint = {
        "weights": imputer.model.state_dict(),
        **{name: getattr(made, name).model_dump() for name in ("network", "parts")},
        "channels": 1,
    }
    volumes = (procedural_volume(seed, 32, 0.0) for seed in range(8))
    return calibrate(checkpoint, volumes, calibration_params)


def test_a_calibration_is_plain_values_of_every_method(calibrated):
    confidence = json.loads(json.dumps(calibrated["confidence"]))
    assert confidence == calibrated["confidence"]
    assert set(confidence["with_cycle"]) == set(METHODS) == set(confidence["without_cycle"])
    assert "cycle" in confidence["with_cycle"]["model"]["weights"]
    assert "cycle" not in confidence["without_cycle"]["model"]["weights"]


@pytest.mark.parametrize("cycle", [False, True])
def test_on_new_volumes_as_much_error_is_found_as_was_expected(imputer, calibrated, cycle):
    expected, true = [], []
    for seed in range(100, 108):
        volume = procedural_volume(seed, 32, 0.0)
        stack = Stack(volume[::3, None].copy(), np.array([[0.0, 1.0]]))
        synthetic = impute_with_confidence(
            imputer,
            calibration_of(calibrated["confidence"], cycle=cycle, threshold=0),
            stack,
            [1 / 3, 2 / 3],
        )
        removed = np.stack([volume[1:30:3], volume[2:31:3]], 1)
        expected.append(1 - synthetic.confidence)
        true.append(np.abs(synthetic.image[:, :, 0] - removed))
    expected, true = np.concatenate(expected).ravel(), np.concatenate(true).ravel()
    assert expected.mean() == pytest.approx(true.mean(), rel=0.25)
    confident = expected < np.median(expected)
    assert true[confident].mean() < 0.6 * true[~confident].mean()


def test_errors_of_known_voxels_are_those_of_the_imputation(imputer):
    volume = procedural_volume(0, 24, 0.0)
    known = compare_known(imputer, volume, 2, smoothing=1)
    stack = Stack(volume[::2, None].copy(), np.array([[0.0, 1.0]]))
    linear = impute_classically("linear", stack, [0.5]).image[:, 0, 0]
    assert known["error_linear"].mean() == pytest.approx(np.abs(linear - volume[1:-1:2]).mean())
    np.testing.assert_allclose(known["error_model"], known["error_linear"], atol=1e-6)


def test_a_volume_too_short_for_its_interval_is_refused(imputer):
    with pytest.raises(ValueError, match="8 slices is too short for factor 4"):
        compare_known(imputer, np.zeros((8, 9, 9), np.float32), 4, smoothing=1)


def test_without_a_calibration_nothing_is_judged():
    assert (
        load_calibration({"weights": {}}, ConfidenceParams(cycle=False, threshold=1, margin=1))
        is None
    )


# --- imputing ---------------------------------------------------------------------------------


def test_confidence_is_one_minus_the_expected_error(imputer):
    apart = {"weights": {"apart": 0.5}, "scores": [0.0, 1.0], "errors": [0.0, 1.0]}
    calibration = constant(model=0, linear=0, cubic=0)
    calibration["without_cycle"] = dict.fromkeys(METHODS, apart)
    synthetic = impute_with_confidence(
        imputer, calibration_of(calibration), flat([0.2, 0.6]), [0.5]
    )
    np.testing.assert_allclose(synthetic.confidence, 1 - 0.5 * 0.4, atol=1e-6)
    assert (synthetic.measure, synthetic.error) == ("expected_error", None)


@pytest.mark.parametrize("better", ["linear", "cubic"])
def test_where_a_classical_method_expects_less_error_it_is_believed(stirred, better):
    errors = {"model": 0.5, "linear": 0.3, "cubic": 0.3, better: 0.1}
    stack, positions = noise(channels=2), [0.25, 0.5]
    stack = Stack(stack.image, np.tile([-9.0, 9.0], (2, 1)), stack.label)  # shows all there is
    plain = impute_by_flow(stirred, stack, positions)
    synthetic = impute_with_confidence(
        stirred, calibration_of(constant(**errors)), stack, positions
    )
    expected = impute_classically(better, stack, positions).image
    np.testing.assert_allclose(synthetic.image, expected, atol=1e-5)
    np.testing.assert_allclose(synthetic.confidence, 0.9, atol=1e-6)
    assert synthetic.abstained.all()
    np.testing.assert_array_equal(synthetic.label, plain.label)


@pytest.mark.parametrize("limits", [{"threshold": 0.0}, {"threshold": 0.4}, {"margin": 0.1}])
def test_otherwise_the_model_is(stirred, limits):
    stack, positions = noise(), [0.25, 0.5]
    plain = impute_by_flow(stirred, stack, positions)
    calibration = constant(model=0.5, linear=0.1, cubic=0.1)
    synthetic = impute_with_confidence(
        stirred, calibration_of(calibration, **limits), stack, positions
    )
    np.testing.assert_array_equal(synthetic.image, plain.image)
    np.testing.assert_allclose(synthetic.confidence, 0.5)
    assert not synthetic.abstained.any()


def test_beyond_the_window_no_classical_method_is_believed(stirred):
    stack, positions = noise(), [0.25, 0.5]
    narrow = Stack(stack.image, np.array([[0.4, 0.6]]))
    plain = impute_by_flow(stirred, narrow, positions).image[:, :, 0]
    calibration = constant(model=0.5, linear=0.1, cubic=0.2)
    synthetic = impute_with_confidence(stirred, calibration_of(calibration), narrow, positions)
    beyond = (plain < 0.4) | (plain > 0.6)
    assert 0 < synthetic.abstained.mean() < 1
    assert not synthetic.abstained[beyond].any()
    np.testing.assert_array_equal(synthetic.image[:, :, 0][beyond], plain[beyond])


@pytest.mark.parametrize("batch_pixels", [1, 3 * 12 * 14])
def test_confidence_does_not_depend_on_the_size_of_batches(stirred, calibrated, batch_pixels):
    stack, positions = noise(depth=7), [1 / 3, 2 / 3]
    judged = calibration_of(calibrated["confidence"], cycle=True, margin=0.9)
    small = FlowImputer(
        stirred.model, stirred.fabric, batch_pixels, LabelRule("one_hot"), ensemble=False
    )
    one, other = (
        impute_with_confidence(each, judged, stack, positions) for each in (stirred, small)
    )
    np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-4)
    np.testing.assert_allclose(one.image, other.image, atol=1e-4)


def test_two_slices_have_none_to_predict_back_and_no_position_none_to_judge(imputer, calibrated):
    judged = calibration_of(calibrated["confidence"], cycle=True)
    two = impute_with_confidence(imputer, judged, noise(depth=2), [0.5])
    without = impute_with_confidence(
        imputer, calibration_of(calibrated["confidence"]), noise(depth=2), [0.5]
    )
    np.testing.assert_array_equal(two.confidence, without.confidence)
    assert impute_with_confidence(imputer, judged, noise(), []).image.shape[1] == 0
