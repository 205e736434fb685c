"""Validation: whole slices, true measures, the same groups for everyone."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from slicefill.imputation.methods.slice_imputation.groups import Group, summarise_views
from slicefill.imputation.methods.slice_imputation.model import SynthesisModel
from slicefill.imputation.methods.slice_imputation.motion import Flows
from slicefill.imputation.methods.slice_imputation.training_set import validate, validation_groups
from slicefill.imputation.methods.slice_imputation.views import ViewCache
from slicefill.types import Promise


class Shift(SynthesisModel):
    """Knows that everything moves by `step` columns a slice."""

    step = 0.0

    def flows(self, pair):
        columns = torch.full_like(pair.first, self.step)
        flow = torch.cat([torch.zeros_like(columns), columns], 1)
        return Flows(flow, -flow)


@pytest.fixture
def model(params):
    made = params()
    return SynthesisModel(1, made.network, made.parts)


def held_out(discs, params, **changes):
    made = params(**changes)
    cache = ViewCache(discs(2), "auto", made)
    return cache, validation_groups(summarise_views(cache, sorted(discs(2))), made)


def test_groups_are_fixed_by_the_seed_alone_and_all_kinds_take_part(discs, params):
    _, groups = held_out(discs, params)
    _, of_variant = held_out(discs, params, variant="iia", network={"width": 8})
    _, of_seed = held_out(discs, params, optimisation={"seed": 1})
    assert groups == of_variant != of_seed
    assert len(groups) == 4
    assert {group.view == "through_plane" for group in groups} == {True, False}


def test_groups_use_the_smallest_n_and_show_more_than_background(discs, params):
    cache, groups = held_out(discs, params, groups={"inner": (2, 4), "background_keep": 1.0})
    across = [group for group in groups if group.view == "through_plane"]
    assert {group.inner for group in across} == {2}
    for group in groups:
        occupied = cache[group.case][group.view].occupied
        assert occupied[group.start : group.start + group.inner + 2].any()


def test_scores_are_those_of_whole_slices_by_an_independent_library(discs, params, model):
    cache, groups = held_out(discs, params, groups={"crop": (8, 8), "in_plane": 0.0})
    scores = validate(model, cache, groups)
    expected = {"psnr": [], "ssim": []}
    for group in groups:
        view = cache[group.case][group.view].slices[:, 0]
        first, real, last = view[group.start : group.start + 3]
        linear = (first + last) / 2  # an untrained model
        expected["psnr"].append(peak_signal_noise_ratio(real, linear, data_range=1.0))
        expected["ssim"].append(
            structural_similarity(
                real,
                linear,
                data_range=1.0,
                gaussian_weights=True,
                use_sample_covariance=False,
                full=True,
            )[1].mean()  # with its border
        )
    assert scores["validation/psnr"] == pytest.approx(np.mean(expected["psnr"]), abs=1e-3)
    assert scores["validation/ssim"] == pytest.approx(np.mean(expected["ssim"]), abs=2e-3)


def test_the_crop_of_training_plays_no_part(discs, params, model):
    small, large = (
        validate(model, *held_out(discs, params, groups={"crop": crop}))
        for crop in ((8, 8), (24, 24))
    )
    assert small == large


def test_true_motion_scores_high(discs, params, model):
    cache = ViewCache(discs(1), "auto", params())
    slices = cache["case0"]["through_plane"].slices[:, 0]
    centres = (slices * np.arange(32)).sum((1, 2)) / slices.sum((1, 2))
    moving = Shift(1, params().network, params().parts)
    moving.step = float(centres[2] - centres[0])
    group = [Group("case0", "through_plane", 0, 1)]
    right, linear = (validate(network, cache, group) for network in (moving, model))
    assert right["validation/psnr"] > 45
    assert right["validation/ssim"] > 0.99
    assert linear["validation/psnr"] < 20


def test_a_perfect_slice_counts_60_db_not_infinity(make_case, params, model):
    case = make_case(np.full((5, 16, 16), 0.5, np.float32))
    cache = ViewCache({"a": Promise(lambda: case, "a")}, "auto", params())
    scores = validate(model, cache, [Group("a", "through_plane", 0, 2)])
    assert scores["validation/psnr"] == 60


def test_kinds_of_group_weigh_the_same_however_many_there_are(discs, params, model):
    cache = ViewCache(discs(1), "auto", params())
    groups = [Group("case0", "through_plane", s, 1) for s in range(3)]
    groups += [Group("case0", "rows", 15, 3), Group("case0", "columns", 12, 3)]
    scores = validate(model, cache, groups)
    for name in ("validation/psnr", "validation/ssim"):
        kinds = scores[f"{name}/through_plane"], scores[f"{name}/in_plane"]
        assert scores[name] == pytest.approx(np.mean(kinds))


@pytest.mark.parametrize("rows", [3, 5])
def test_views_too_small_for_the_window_of_ssim_are_scored(make_case, params, model, rows):
    """In-plane views of a scan of three slices, twice as far apart as pixels, have five rows."""
    ramp = np.linspace(0, 1, 16, dtype=np.float32)
    values = np.broadcast_to(ramp, (5, rows, 16)).copy()
    cache = ViewCache({"a": Promise(lambda: make_case(values), "a")}, "auto", params())
    scores = validate(model, cache, [Group("a", "through_plane", 0, 1)])
    assert scores["validation/ssim"] == pytest.approx(1, abs=1e-5)


def test_training_mode_is_restored(discs, params, model):
    validate(model.train(), *held_out(discs, params))
    assert model.training
