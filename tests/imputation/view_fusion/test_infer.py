"""Imputation of stacks by a network of any weights."""

from dataclasses import replace

import numpy as np
import pytest

from slicefill.imputation.methods.pretrained import load_pretrained
from slicefill.imputation.methods.slice_imputation.infer import impute_by_flow
from slicefill.imputation.methods.view_fusion import infer, load
from slicefill.imputation.methods.view_fusion.infer import impute_by_fusion, load_fusion_imputer
from slicefill.simulation.random_fields import smooth_field
from slicefill.types import Stack


@pytest.fixture(scope="module")
def checkpoint(model, params):
    motion = {name: load_pretrained()[name] for name in ("channels", "network", "parts")}
    network = params().network.model_dump()
    return {"weights": model.state_dict(), "network": network, "motion": motion}


def make_stack(channels=1, depth=7, scale=1.0, offset=0.0):
    field = smooth_field((depth, 30, 37), (2, 5, 5), np.random.default_rng(1))
    image = np.stack([field * scale + offset] * channels, 1)
    label = (field > 0.3).astype(np.uint8)
    window = np.percentile(image, [0.5, 99.5])
    return Stack(image.astype(np.float32), np.tile(window, (channels, 1)), label)


@pytest.fixture(scope="module")
def imputer(checkpoint, imputation_params):
    exact = {"hardware": {"precision": "32-true"}}
    return load_fusion_imputer(checkpoint, imputation_params(**exact))


def test_intervals_at_once_change_nothing(imputer, monkeypatch):
    stack = make_stack()
    whole = impute_by_fusion(imputer, stack, [0.25, 0.5])
    monkeypatch.setattr(infer, "_FEWEST", 2)
    parts = impute_by_fusion(replace(imputer, batch_pixels=1), stack, [0.25, 0.5])
    np.testing.assert_allclose(parts.image, whole.image, atol=1e-4)
    np.testing.assert_allclose(parts.confidence, whole.confidence, atol=1e-4)


def test_labels_are_those_of_the_motion_network(imputer):
    stack = make_stack()
    made, by_motion = (
        impute(each, stack, [0.5])
        for impute, each in ((impute_by_fusion, imputer), (impute_by_flow, imputer.flow))
    )
    assert np.array_equal(made.label, by_motion.label)
    assert not np.allclose(made.image, by_motion.image, atol=1e-3)


def test_intensities_of_another_scale_are_imputed_alike(imputer):
    """Also those beyond the window, which moves along."""
    plain = impute_by_fusion(imputer, make_stack(), [0.5])
    scaled = impute_by_fusion(imputer, make_stack(scale=300, offset=-50), [0.5])
    np.testing.assert_allclose(scaled.image, 300 * plain.image - 50, atol=0.3)


def test_confidence_is_what_the_expected_error_leaves(imputer):
    made = impute_by_fusion(imputer, make_stack(), [0.5])
    assert made.measure == "expected_error"
    np.testing.assert_allclose(made.confidence, 1 - made.error, atol=1e-6)
    assert made.confidence.min() >= 0
    assert 0 < made.error.min() <= made.error.max()


def test_further_channels_are_those_of_the_motion_network(imputer):
    stack = make_stack(channels=2)
    made, by_motion = (
        impute_by_fusion(imputer, stack, [0.5]),
        impute_by_flow(imputer.flow, stack, [0.5]),
    )
    assert np.array_equal(made.image[:, :, 1], by_motion.image[:, :, 1])


def test_a_checkpoint_is_a_must(imputation_params):
    with pytest.raises(ValueError, match="expected the checkpoint of a training"):
        load(None, None, imputation_params())
