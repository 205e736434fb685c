"""The network of planes learns from the slices of the scan that it imputes."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch

from slicefill.imputation.choice import Choice
from slicefill.imputation.dense_grid import stack_case
from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import load_named
from slicefill.imputation.methods.reformatted import own_slices
from slicefill.imputation.methods.reformatted.infer import load_plane_imputer
from slicefill.imputation.methods.reformatted.own_slices import OwnSlices, learn_from_slices
from slicefill.imputation.orientation import Turn
from slicefill.params import WindowParams
from slicefill.simulation.procedural import procedural_volume
from slicefill.types import Case, Stack, Volume

EXACT = {"hardware": {"precision": "32-true"}}


@pytest.fixture(scope="module")
def imputer(network, params, imputation_params):
    checkpoint = {"weights": network.state_dict(), "network": params().network.model_dump()}
    return load_plane_imputer(checkpoint, imputation_params(**EXACT))


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr(own_slices, "_STEPS", 30)
    monkeypatch.setattr(own_slices, "_AVERAGE", 0.8)
    monkeypatch.setattr(own_slices, "_RATE", 2e-3)


def striped(depth=12, channels=1, apart=(4.0, 4.0)):
    """Slanted stripes: between two rows four apart they have moved on by half a stripe."""
    rows, columns = np.indices((40, 44))
    image = np.stack([np.sin((columns + rows + 3 * k) * np.pi / 4) for k in range(depth)])
    image = np.repeat(image[:, None].astype(np.float32), channels, 1)
    return Stack(image, np.array([[-1.0, 1.0]] * channels), apart=apart)


def weights(imputer):
    return [each.detach().clone() for each in imputer.network.parameters()]


def test_held_out_slices_gain_and_what_it_starts_from_stays(imputer, few_steps):
    before = weights(imputer)
    learned, told = learn_from_slices(imputer, striped(), 0)
    assert told["used"]
    assert told["gain_db"] > 0.1
    assert all(torch.equal(*each) for each in zip(before, weights(imputer), strict=True))
    assert not all(torch.equal(*each) for each in zip(before, weights(learned), strict=True))


def test_the_same_seed_learns_the_same(imputer, few_steps):
    first, again, other = (learn_from_slices(imputer, striped(), seed)[0] for seed in (0, 0, 1))
    assert all(torch.equal(*each) for each in zip(weights(first), weights(again), strict=True))
    assert not all(torch.equal(*each) for each in zip(weights(first), weights(other), strict=True))


def test_what_does_not_gain_is_not_used(imputer, few_steps, monkeypatch):
    monkeypatch.setattr(own_slices, "_RATE", 1.0)  # destroys the weights
    learned, told = learn_from_slices(imputer, striped(), 0)
    assert learned is imputer
    assert not told["used"]
    assert told["gain_db"] < 0


def test_a_training_that_diverges_is_not_used_and_its_record_can_be_written(
    imputer, few_steps, monkeypatch
):
    monkeypatch.setattr(own_slices, "_RATE", 1e30)
    learned, told = learn_from_slices(imputer, striped(), 0)
    assert learned is imputer
    assert told["gain_db"] is None
    assert told["used"] is False
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize(
    "stack",
    [striped(apart=None), striped(depth=4), replace(striped(), image=np.zeros((9, 1, 6, 6)))],
)
def test_nothing_is_learned_where_there_is_too_little(imputer, stack):
    learned, told = learn_from_slices(imputer, stack, 0)
    assert learned is imputer
    assert told == {"steps": 0, "gain_db": None, "used": False, "gaps": None}


def test_rows_are_as_far_apart_as_slices_in_either_direction():
    """Slices five pixels apart along rows and two along columns, in the image too."""
    own = OwnSlices.of(striped(apart=(5.2, 1.6)), 1)
    assert own.gaps == (5, 2)
    rng = np.random.default_rng(0)
    seen = {batch.truth.shape[2]: batch for batch in (own.draw(rng) for _ in range(20))}
    assert set(seen) == {3, 1}  # at most three of the four positions between
    assert seen[1].positions == [0.5]
    assert set(seen[3].positions) <= {0.2, 0.4, 0.6, 0.8}
    assert seen[3].acquired.shape[1:3] == (3, 8)  # 7 intervals of 5 pixels fit into 40
    assert OwnSlices.of(striped(apart=(30.0, 30.0)), 1).gaps == (13, 14)  # three intervals fit


def test_patches_are_parts_of_the_slices():
    """A ramp along the rows: what lies between is linear in the position."""
    ramp = np.broadcast_to(np.arange(40.0, dtype=np.float32)[:, None], (9, 1, 40, 30))
    own = OwnSlices.of(Stack(ramp, np.array([[0.0, 40.0]]), apart=(4.0, 4.0)), 1)
    rng = np.random.default_rng(1)
    drawn = (own.draw(rng) for _ in range(20))
    batch = next(b for b in drawn if (b.acquired[:, 1].diff(dim=1) != 0).all())
    first, last = batch.acquired[:, 1, :-1, None], batch.acquired[:, 1, 1:, None]
    t = torch.tensor(batch.positions)[:, None]
    torch.testing.assert_close(batch.truth, (1 - t) * first + t * last, atol=1e-4, rtol=0)


def test_held_out_slices_are_those_of_all_channels():
    stack = striped(channels=2)
    stack.image[2::5] = 7
    known, held_out = OwnSlices.of(replace(stack, window=np.array([[-1.0, 7.0]] * 2)), 1).divided(2)
    assert sorted([*known.drawn, *held_out.drawn]) == list(range(24))
    flat = known.slices.amax((1, 2)) == known.slices.amin((1, 2))
    assert flat[held_out.drawn].all()
    assert not flat[known.drawn].any()


def test_slices_are_apart_as_the_scan_says_however_it_is_turned():
    """Pixels of 1 mm from row to row and 2 mm from column to column, slices 6 mm apart."""
    header = nib.Nifti1Header()
    header.set_data_shape((8, 9, 10))
    header.set_data_dtype(np.float32)
    for affine, expected in (
        (np.diag([1.0, 2.0, 6.0, 1.0]), (6.0, 3.0)),
        (np.diag([1.0, 2.0, 6.0, 1.0])[[1, 0, 2, 3]], (3.0, 6.0)),  # the first axis is A, not L
    ):
        header.set_sform(affine, 1)
        image = Volume(np.arange(720, dtype=np.float32).reshape(8, 9, 10), header.copy())
        stack = stack_case(Case(image), 2, WindowParams(kind="percentile", low=0, high=100))
        assert stack.apart == (6.0, 3.0)
        turn = Turn.of(image.affine, 2)
        assert turn.stack(stack).apart == expected
        assert turn.stack_back(turn.stack(stack)).apart == stack.apart


def test_planes_that_have_learned_are_trusted_more():
    choice = Choice(cubic=0.2, dis=0.2, planes=0.4).with_learned_planes()
    shares = choice.cubic, choice.dis, choice.planes, choice.network
    assert shares == pytest.approx((0.15, 0.15, 0.55, 0.15))
    assert Choice(planes=0.8).with_learned_planes().planes == 0.85


def test_the_best_image_says_what_its_planes_learned(
    make_case, imputation_params, few_steps, monkeypatch
):
    monkeypatch.setattr(own_slices, "_LEAST_GAIN", -99.0)
    case = make_case(procedural_volume(5, 48, 0.0)[::3])
    made = {
        quality: impute_case(case, load_named("pretrained", own), own)
        for quality in ("good", "best")
        for own in [imputation_params(quality=quality, **EXACT)]
    }
    told = made["best"].record["choice"]["planes_learned"]
    assert told["steps"] == 30
    assert told["used"]
    shares = [made[each].record["choice"]["planes"] for each in ("good", "best")]
    assert shares[1] == pytest.approx(min(shares[0] + 0.15, 0.85), abs=1e-3)
    assert "planes_learned" not in made["good"].record["choice"]
    assert not np.array_equal(made["best"].image.stored, made["good"].image.stored)
    np.testing.assert_array_equal(
        made["best"].image.stored[..., ::4], made["good"].image.stored[..., ::4]
    )
    np.testing.assert_array_equal(made["best"].label.stored, made["good"].label.stored)
