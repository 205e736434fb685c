"""The network: what it sees, where it starts, and how far it can leave its candidates."""

import numpy as np
import torch

from slicefill.imputation.methods.classical import impute_classically
from slicefill.imputation.methods.pretrained import load_pretrained
from slicefill.imputation.methods.slice_imputation.model import load_model
from slicefill.imputation.methods.slice_imputation.motion import Pair
from slicefill.imputation.methods.view_fusion.candidates import find_flows, fixed_candidates
from slicefill.imputation.methods.view_fusion.model import build_fusion
from slicefill.imputation.optical_flow import dis_flow, impute_along
from slicefill.simulation.random_fields import smooth_field
from slicefill.types import Stack


def slices(depth=6, height=32, width=48, seed=0):
    field = smooth_field((depth, height, width), (2, 5, 5), np.random.default_rng(seed))
    return ((field - field.min()) / np.ptp(field)).astype(np.float32)


def test_candidates_are_what_the_methods_make():
    seen = slices()
    stack = Stack(seen[:, None], np.array([[0.0, 1.0]]))
    made = fixed_candidates(seen, [0.25] * 5, find_flows(seen))
    for place, rule in enumerate(("linear", "bspline")):
        expected = impute_classically(rule, stack, [0.25]).image[:, 0, 0]
        np.testing.assert_allclose(made[:, place], expected, atol=1e-5)
    expected = impute_along(dis_flow, stack, [0.25])[:, 0, 0]
    np.testing.assert_allclose(made[:, 2], expected, atol=1e-5)


def test_candidates_of_some_intervals_are_those_of_all():
    seen = slices()
    flows, places = find_flows(seen), [0.2, 0.4, 0.5, 0.6, 0.8]
    whole = fixed_candidates(seen, places, flows)
    part = fixed_candidates(seen, places[2:4], flows, first=2)
    np.testing.assert_allclose(part, whole[2:4], atol=1e-6)


def test_features_depend_on_the_slices_within_reach_and_on_no_others(model):
    seen = torch.from_numpy(slices(depth=12))[None, None]
    changed = seen.clone()
    changed[:, :, 0] += 0.5
    with torch.no_grad():
        apart = (model.between(seen) - model.between(changed)).abs().amax((1, 2, 3))
    assert model.reach == 3
    assert (apart[:4] > 0).all()  # interval k lies between slices k and k + 1
    assert (apart[4:] == 0).all()


def test_before_training_it_is_a_fixed_mean_of_the_candidates(params):
    """Logits 0, 0, 1, 1.5: weights e^0, e^0, e^1, e^1.5 over their sum, 9.2."""
    model = build_fusion(load_pretrained(), params().network)
    stack, t = torch.from_numpy(slices())[None, None], torch.full((5,), 0.5)
    fixed = torch.rand(5, 3, 32, 48)
    made, error = model(stack, fixed, t)
    weights = torch.tensor([1, 1, 2.71828, 4.48169]) / 9.19997
    candidates = torch.cat([fixed, model.moved(stack, t)], 1)
    expected = (candidates * weights[:, None, None]).sum(1, keepdim=True)
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(error, torch.full_like(error, 0.0486), atol=1e-4, rtol=0)


def test_what_is_made_lies_within_the_residuals_bound_of_the_candidates(model):
    stack, t = torch.from_numpy(slices())[None, None], torch.full((5,), 0.5)
    fixed = torch.rand(5, 3, 32, 48)
    with torch.no_grad():
        model.head.out.weight.mul_(100)
        made, _ = model(stack, fixed, t)
        model.head.out.weight.div_(100)
        candidates = torch.cat([fixed, model.moved(stack, t)], 1)
    assert (made <= candidates.amax(1, keepdim=True) + 0.5 + 1e-5).all()
    assert (made >= candidates.amin(1, keepdim=True) - 0.5 - 1e-5).all()
    assert (made > candidates.amax(1, keepdim=True) + 0.3).any()


def test_the_motion_candidate_is_that_of_the_shipped_network(model):
    """Of both neighbours and the slices beyond; at the ends of the stack, the ends themselves."""
    seen = torch.from_numpy(slices())[:, None]
    alone = load_model(load_pretrained())
    with torch.no_grad():
        made = model.moved(seen[:, 0][None, None], torch.full((5,), 0.25))
        for k, (before, after) in {0: (0, 2), 2: (1, 4), 4: (3, 5)}.items():
            outer = torch.cat([seen[before], seen[after]])[None]
            pair = Pair(seen[k][None], seen[k + 1][None], outer)
            _, (motion,) = alone(pair, torch.tensor([0.25]))
            torch.testing.assert_close(made[k], motion.render(pair.first, pair.last)[0])
