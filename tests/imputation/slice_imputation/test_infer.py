"""Imputation by motion: exact flows, labels, confidence, channels, how the work is divided."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from slicefill.imputation.methods.slice_imputation.infer import FlowImputer, impute_by_flow
from slicefill.imputation.methods.slice_imputation.labels import LabelRule
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel
from slicefill.imputation.methods.slice_imputation.motion import Flows
from slicefill.imputation.methods.slice_imputation.params import NetworkParams, Parts
from slicefill.types import Stack

FIELDS = ("one_hot", "signed_distance")


@pytest.fixture(scope="session")
def make_engine(fabric):
    """An engine; its flows are 0, those of `move(first, last)`, or those of stirred weights."""

    def make(
        move=None, stirred=False, batch_pixels=10**6, field="one_hot", ensemble=False, **changes
    ):
        torch.manual_seed(0)
        network = NetworkParams(block=1, width=4, depth=2, time_form="linear_motion")
        channels = changes.pop("channels", 1)
        model = SynthesisModel(channels, network, Parts(**changes)).eval()
        if stirred:
            nn.init.normal_(model.flow_network.out.weight, std=20)  # flows of some pixels
        if move is not None:
            model.flows = lambda pair: move(pair.first, pair.last)
        return FlowImputer(model, fabric, batch_pixels, LabelRule(field), ensemble)

    return make


def columns(pixels):
    """Everything moves by `pixels` columns from the first slice to the last."""

    def move(first, last):
        across = torch.full_like(first[:, :1], pixels)
        flow = torch.cat([torch.zeros_like(across), across], 1)
        return Flows(flow, -flow)

    return move


def make_stack(image, label=None, window=(0.0, 1.0)):
    """`image` is `(D, H, W)` or `(D, C, H, W)`."""
    image = np.asarray(image, np.float32)
    image = image[:, None] if image.ndim == 3 else image
    return Stack(image, np.tile(window, (image.shape[1], 1)).astype(float), label)


def noise(depth=4, size=(13, 18), channels=1):
    return np.random.default_rng(0).random((depth, channels, *size), np.float32)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def moved_disc(disc, pixels):
    """A disc of radius 5 on two slices `pixels` columns apart, and where it is half-way."""
    start = 24 - pixels / 2
    image = np.stack([disc(24, column, 5, 48) for column in (start, start + pixels)])
    return make_stack(image, (image > 0.5).astype(np.uint8)), disc(24, 24, 5, 48)


# --- images ----------------------------------------------------------------------------------


def test_an_untrained_model_imputes_linearly(make_engine):
    image = noise()
    imputed = impute_by_flow(make_engine(), make_stack(image), [0.25, 0.5]).image
    for n, t in enumerate([0.25, 0.5]):
        np.testing.assert_allclose(imputed[:, n], (1 - t) * image[:-1] + t * image[1:], atol=1e-6)


@pytest.mark.parametrize("t", [0.25, 0.5, 0.75])
def test_the_true_motion_puts_a_moved_disc_where_it_was(t, disc, make_engine):
    image = np.stack([disc(16, 10, 5, 32), disc(16, 18, 5, 32)])
    imputed = impute_by_flow(make_engine(columns(8.0)), make_stack(image), [t]).image[0, 0, 0]
    np.testing.assert_allclose(imputed, disc(16, 10 + 8 * t, 5, 32), atol=1e-6)


def test_stored_numbers_beyond_the_window_are_neither_clipped_nor_rescaled(make_engine):
    image = noise() * 4000 - 1000
    wide, narrow = (
        impute_by_flow(make_engine(columns(2.0)), make_stack(image, window=window), [0.5]).image
        for window in ((-1000.0, 3000.0), (0.0, 80.0))
    )
    assert narrow.min() < -500
    assert narrow.max() > 2000
    np.testing.assert_allclose(narrow, wide, rtol=1e-6)


def test_further_channels_ride_along_on_the_motion_of_the_first(make_engine):
    image = noise(channels=3)
    engine = make_engine(columns(3.0), channels=1)
    imputed = impute_by_flow(engine, make_stack(image), [0.25]).image
    for channel in range(3):
        alone = impute_by_flow(engine, make_stack(image[:, channel]), [0.25]).image
        np.testing.assert_array_equal(imputed[:, :, channel], alone[:, :, 0])


def test_channels_beyond_the_models_do_not_guide_the_motion(make_engine):
    image, engine = noise(channels=2), make_engine(stirred=True)
    other = image.copy()
    other[:, 1] = 1 - other[:, 1]
    one, two = (impute_by_flow(engine, make_stack(i), [0.5]).image[:, :, 0] for i in (image, other))
    np.testing.assert_array_equal(one, two)


def test_fewer_channels_than_the_models_are_refused(make_engine):
    with pytest.raises(ValueError, match="takes 2 channels, the image has 1"):
        impute_by_flow(make_engine(channels=2), make_stack(noise()), [0.5])


# --- labels ----------------------------------------------------------------------------------


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("pixels", [8, 12])
def test_labels_follow_the_true_motion(pixels, field, disc, make_engine):
    stack, truth = moved_disc(disc, pixels)
    imputed = impute_by_flow(make_engine(columns(float(pixels)), field=field), stack, [0.5]).label
    assert dice(imputed[0, 0] == 1, truth > 0.5) > 0.95


@pytest.mark.parametrize(("pixels", "most"), [(8, 0.55), (12, 0.3)])
def test_without_motion_moved_labels_are_missed(pixels, most, disc, make_engine):
    stack, truth = moved_disc(disc, pixels)
    imputed = impute_by_flow(make_engine(), stack, [0.5]).label
    assert dice(imputed[0, 0] == 1, truth > 0.5) < most


ids = arrays(np.uint8, (3, 6, 7), elements=st.sampled_from([0, 1, 3, 200]))


@pytest.mark.parametrize("field", FIELDS)
@given(label=ids, pixels=st.floats(-8, 8), t=st.floats(0.05, 0.95))
@settings(max_examples=40, deadline=None)
def test_no_id_appears_that_neither_neighbour_has(make_engine, field, label, pixels, t):
    stack = make_stack(np.zeros((3, 6, 7)), label)
    imputed = impute_by_flow(make_engine(columns(pixels), field=field), stack, [t]).label
    assert imputed.dtype == label.dtype
    for interval in range(2):
        assert np.isin(imputed[interval], label[interval : interval + 2]).all()


def test_without_labels_none_come_out(make_engine):
    assert impute_by_flow(make_engine(), make_stack(noise()), [0.5]).label is None


# --- confidence -----------------------------------------------------------------------------------


@pytest.mark.parametrize("refinement", [False, True])
def test_confidence_lies_between_0_and_1(refinement, make_engine):
    engine = make_engine(stirred=True, refinement=refinement)
    confidence = impute_by_flow(engine, make_stack(noise() * 4 - 1), [0.3, 0.6]).confidence
    assert confidence.shape == (3, 2, 13, 18)
    assert 0 <= confidence.min() < confidence.max() <= 1


def test_confidence_is_1_for_identical_slices(make_engine):
    image = np.repeat(noise(depth=1), 3, axis=0)
    assert (impute_by_flow(make_engine(), make_stack(image), [0.5]).confidence == 1).all()


def test_confidence_is_high_where_motion_explains_the_slices_and_low_where_not(disc, make_engine):
    stack, truth = moved_disc(disc, 12)
    moved, still = (
        impute_by_flow(make_engine(move), stack, [0.5]).confidence[0, 0]
        for move in (columns(12.0), None)
    )
    assert moved.min() > 0.99
    assert still[24, 18] < 0.01  # the disc's place on the first slice
    assert truth[24, 24] == 1


# --- how the work is divided -----------------------------------------------------------------


def assert_same(a, b, **tolerance):
    for name in ("image", "confidence", "label"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), **tolerance)


def labelled_noise():
    image = noise(depth=6)
    return make_stack(image, np.digitize(image[:, 0], [0.3, 0.6]).astype(np.uint8))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("batch_pixels", [1, 2 * 13 * 18, 3 * 13 * 18 + 5])
def test_the_size_of_batches_does_not_change_the_result(batch_pixels, field, make_engine):
    stack = labelled_noise()
    whole = impute_by_flow(make_engine(stirred=True, field=field), stack, [1 / 3, 2 / 3])
    engine = make_engine(stirred=True, field=field, batch_pixels=batch_pixels)
    assert_same(impute_by_flow(engine, stack, [1 / 3, 2 / 3]), whole, atol=1e-4)


def test_an_interval_does_not_depend_on_the_others(make_engine):
    stack, engine = labelled_noise(), make_engine(stirred=True)
    alone = Stack(stack.image[2:4], stack.window, stack.label[2:4])
    synthetic, one = (impute_by_flow(engine, s, [0.4]) for s in (stack, alone))
    np.testing.assert_allclose(synthetic.image[2:3], one.image, atol=1e-4)
    np.testing.assert_array_equal(synthetic.label[2:3], one.label)


@pytest.mark.parametrize("refinement", [False, True])
def test_leaving_out_the_empty_margin_does_not_change_the_result(refinement, make_engine):
    """Flows that are 0 where both slices are: so does the box; the rest must be pasted right."""

    def local(first, last):
        moves = 6 * (last - first)
        flow = torch.cat([moves, -2 * moves], 1)
        return Flows(flow, -flow)

    image = np.zeros((4, 30, 40), np.float32)
    image[:, 7:20, 12:30] = noise()[:, 0]
    label = (image > 0.5).astype(np.uint8)
    boxed = make_stack(image, label)
    lit = image.copy()
    lit[:, 0, 0] = lit[:, -1, -1] = 1e-9  # so faint that it only widens the box
    assert_same(
        impute_by_flow(make_engine(local, refinement=refinement), boxed, [0.3]),
        impute_by_flow(make_engine(local, refinement=refinement), make_stack(lit, label), [0.3]),
        atol=1e-6,
    )


@pytest.mark.parametrize("refinement", [False, True])
def test_what_the_network_does_not_see_is_imputed_linearly(refinement, make_engine):
    image = -noise(size=(30, 40))  # below the window: background, but not all the same
    image[:, :, 7:20, 12:30] = noise()
    engine = make_engine(stirred=True, refinement=refinement)
    imputed = impute_by_flow(engine, make_stack(image), [0.25]).image[:, 0]
    linear = 0.75 * image[:-1] + 0.25 * image[1:]
    outside = np.ones((30, 40), bool)
    outside[7:20, 12:30] = False
    np.testing.assert_allclose(imputed[..., outside], linear[..., outside], atol=1e-6)
    assert np.abs(imputed - linear)[..., ~outside].max() > 0.1


def test_the_network_sees_the_box_only(make_engine):
    seen = []

    def move(first, last):
        seen.append(tuple(first.shape))
        return columns(0.0)(first, last)

    image = np.zeros((4, 30, 40), np.float32)
    image[:, 7:20, 12:30] = noise()[:, 0] + 0.01
    impute_by_flow(make_engine(move, batch_pixels=2 * 13 * 18), make_stack(image), [0.3])
    assert seen == [(2, 1, 13, 18), (1, 1, 13, 18)]


@pytest.mark.parametrize("shown", [np.s_[:, 5], np.s_[..., 0], np.s_[..., -1], np.s_[:, 12, 17]])
@pytest.mark.parametrize("refinement", [False, True])
def test_slices_that_show_a_line_or_a_pixel_are_imputed(shown, refinement, make_engine):
    image = np.zeros((3, 13, 18), np.float32)
    image[shown] = 0.5
    synthetic = impute_by_flow(make_engine(refinement=refinement), make_stack(image), [0.5])
    np.testing.assert_allclose(synthetic.image[:, 0, 0], image[:-1], atol=1e-6)


def test_an_empty_stack_is_imputed_with_nothing(make_engine):
    synthetic = impute_by_flow(make_engine(stirred=True), make_stack(np.zeros((3, 9, 9))), [0.5])
    assert not synthetic.image.any()
    assert (synthetic.confidence == 1).all()


def test_all_positions_share_the_flows_of_an_interval(make_engine):
    calls = []

    def move(first, last):
        calls.append(1)
        return columns(1.0)(first, last)

    impute_by_flow(make_engine(move), make_stack(noise()), [0.2, 0.4, 0.6, 0.8])
    assert len(calls) == 1


def test_residual_is_scaled_by_the_window_and_spares_further_channels(make_engine):
    engine = make_engine(refinement=True, residual=0.1)
    with torch.no_grad():
        engine.model.refinement.out.bias[5] = 50.0
    stack = make_stack(noise(channels=2) * 100 + 50, window=(50.0, 150.0))
    plain = impute_by_flow(make_engine(), stack, [0.5]).image
    found = impute_by_flow(engine, stack, [0.5]).image
    np.testing.assert_allclose(found[:, :, 0] - plain[:, :, 0], 10, atol=1e-3)
    np.testing.assert_allclose(found[:, :, 1], plain[:, :, 1], atol=1e-4)


def test_ensemble_of_the_true_motion_is_that_motion(make_engine, disc):
    def move(first, last):  # the mirror image of a motion to the right goes to the left
        centre = [
            (slices.sum((1, 2)) * torch.arange(first.shape[3])).sum(1) for slices in (first, last)
        ]
        total = first.sum((1, 2, 3))
        across = ((centre[1] - centre[0]) / total).view(-1, 1, 1, 1).expand_as(first)
        flow = torch.cat([torch.zeros_like(across), across], 1)
        return Flows(flow, -flow)

    stack, _ = moved_disc(disc, 8)
    alone = impute_by_flow(make_engine(move), stack, [0.25, 0.5])
    together = impute_by_flow(make_engine(move, ensemble=True), stack, [0.25, 0.5])
    np.testing.assert_allclose(together.image, alone.image, atol=1e-4)


@pytest.mark.parametrize("axis", [1, 2])
def test_ensemble_is_equivariant_to_mirroring(axis, make_engine):
    engine = make_engine(stirred=True, refinement=True, residual=0.1, ensemble=True)
    image = noise()[:, 0]
    imputed = impute_by_flow(engine, make_stack(image), [0.25, 0.5]).image
    mirrored = impute_by_flow(engine, make_stack(np.flip(image, axis).copy()), [0.25, 0.5]).image
    np.testing.assert_allclose(np.flip(mirrored, axis + 2), imputed, atol=1e-4)


# --- what is imported ------------------------------------------------------------------------

TRAINING = "critics groups learner losses perceptual steps synthesis training training_set views"
LOAD = """
import sys
from slicefill.imputation.methods import slice_imputation
from slicefill.imputation.methods.pretrained import load_pretrained
from slicefill.params import ImputationParams

params = ImputationParams.model_validate_json(sys.argv[1])
slice_imputation.load(None, load_pretrained(), params)
print(*sys.modules)
"""


def test_inference_imports_no_training_code(imputation_params):
    """A server that imputes does not read the code of losses, groups and optimisers."""
    command = [sys.executable, "-c", LOAD, imputation_params().model_dump_json()]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    loaded, package = set(done.stdout.split()), "slicefill.imputation.methods.slice_imputation"
    assert f"{package}.infer" in loaded
    learning = {f"{package}.{name}" for name in TRAINING.split()} | {"slicefill.training.fit"}
    assert not loaded & learning
