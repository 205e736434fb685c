"""Classical interpolation: exactness, references, label votes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.interpolate import interp1d, make_interp_spline
from scipy.ndimage import distance_transform_edt, map_coordinates, spline_filter1d

from slicefill.imputation.methods.classical import RULES, impute_classically
from slicefill.types import Stack

THIRDS = [1 / 3, 2 / 3]


def make_stack(image, label=None):
    image = np.asarray(image, np.float32)
    return Stack(image, np.tile([0.0, 100.0], (image.shape[1], 1)), label)


def noise(depth=6, channels=1, seed=0):
    return np.random.default_rng(seed).uniform(0, 100, (depth, channels, 5, 4)).astype(np.float32)


def label_stack(*slices):
    label = np.stack(slices).astype(np.uint8)
    return make_stack(np.zeros((len(label), 1, *label.shape[1:])), label)


def disc(centre, radius, size=48):
    row, column = np.indices((size, size))
    return (row - size // 2) ** 2 + (column - centre) ** 2 <= radius**2


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_linear_agrees_with_scipy_ndimage():
    image = noise()
    where = np.add.outer(np.arange(5), THIRDS).ravel()
    grid = np.meshgrid(where, np.arange(5), np.arange(4), indexing="ij")
    expected = map_coordinates(image[:, 0], grid, order=1)
    imputed = impute_classically("linear", make_stack(image), THIRDS).image
    np.testing.assert_allclose(imputed.reshape(10, 5, 4), expected, rtol=1e-5)


def test_nearest_agrees_with_scipy_and_copies_exactly():
    image = noise()
    positions = [0.25, 0.5, 0.75]
    where = np.add.outer(np.arange(5), positions)
    expected = interp1d(np.arange(6), image, kind="nearest", axis=0)(where)
    imputed = impute_classically("nearest", make_stack(image), positions).image
    assert np.array_equal(imputed, expected.astype(np.float32))


def test_cubic_agrees_with_scipy_b_splines():
    image = noise(depth=9)
    where = np.add.outer(np.arange(8), THIRDS)
    expected = make_interp_spline(np.arange(9), image, k=3, axis=0)(where)
    imputed = impute_classically("cubic", make_stack(image), THIRDS).image
    np.testing.assert_allclose(imputed, expected, atol=1e-3)


@pytest.mark.parametrize("depth", [2, 3, 9])
def test_bspline_agrees_with_scipy_on_slices_mirrored_at_both_ends(depth):
    image = noise(depth=depth)
    where = np.add.outer(np.arange(depth - 1), THIRDS).ravel()
    coefficients = spline_filter1d(image[:, 0].astype(float), 3, axis=0, mode="mirror")
    expected = [
        [
            map_coordinates(coefficients[:, r, c], [where], order=3, mode="mirror", prefilter=False)
            for c in range(4)
        ]
        for r in range(5)
    ]
    imputed = impute_classically("bspline", make_stack(image), THIRDS).image
    flat = imputed.reshape(len(where), 5, 4)
    np.testing.assert_allclose(flat, np.moveaxis(expected, -1, 0), atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "depth", "degree"),
    [("linear", 5, 1), ("shape_based", 5, 1), ("cubic", 2, 1), ("cubic", 3, 2), ("cubic", 4, 3)],
)
def test_polynomials_along_the_slices_are_exact(kind, depth, degree):
    def polynomial(z):
        return 3 + 2 * z**degree

    image = polynomial(np.arange(depth)).reshape(-1, 1, 1, 1)
    expected = polynomial(np.add.outer(np.arange(depth - 1), THIRDS))
    imputed = impute_classically(kind, make_stack(image), THIRDS).image
    np.testing.assert_allclose(imputed[..., 0, 0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("kind", RULES)
def test_each_channel_is_imputed_as_if_alone(kind):
    image = noise(channels=3)
    together = impute_classically(kind, make_stack(image), THIRDS).image
    assert together.shape == (5, 2, 3, 5, 4)
    for channel in range(3):
        alone = impute_classically(kind, make_stack(image[:, [channel]]), THIRDS).image
        np.testing.assert_allclose(together[:, :, [channel]], alone, rtol=1e-6)


@pytest.mark.parametrize("kind", RULES)
def test_reversing_the_stack_reverses_the_imputation(kind):
    labels = np.random.default_rng(1).integers(0, 3, (6, 5, 4))
    image = noise()
    there = impute_classically(kind, make_stack(image, labels), [0.25])
    back = impute_classically(kind, make_stack(image[::-1], labels[::-1]), [0.75])
    np.testing.assert_allclose(there.image, back.image[::-1], atol=1e-3)
    np.testing.assert_allclose(there.confidence, back.confidence[::-1], atol=1e-6)
    if kind in ("nearest", "linear", "cubic"):  # distances are often equal: the id decides
        assert np.array_equal(there.label, back.label[::-1])


@pytest.mark.parametrize(
    ("kind", "shift", "expected"),
    [("nearest", 4, 0.75), ("nearest", 8, 0.53)],
)
def test_moving_disc_scores_as_other_implementations_do(kind, shift, expected):
    """A disc of radius 5 moves; Dice halfway as measured elsewhere for this baseline."""
    stack = label_stack(disc(24 - shift // 2, 5), disc(24 + shift // 2, 5))
    halfway = impute_classically(kind, stack, [0.5]).label[0, 0] == 1
    assert dice(halfway, disc(24, 5)) == pytest.approx(expected, abs=0.006)


def test_halfway_linear_votes_neither_gain_nor_lose_area():
    """Between squares of 10 and 12 pixels the ring of one pixel is tied: 44 pixels.

    Of the 9 pixels around one of its sides 3 are inside both squares and 3 outside both: it is the
    first slice's. Around its 4 corners and their 8 neighbours more are outside: background.
    """
    small, large = np.zeros((2, 16, 16), bool)
    small[3:13, 3:13] = large[2:14, 2:14] = True
    growing, shrinking = (
        impute_classically("linear", label_stack(*pair), [0.5]).label[0, 0]
        for pair in ((small, large), (large, small))
    )
    assert np.array_equal(growing, small)
    assert small.sum() == 100
    assert shrinking.sum() == 100 + 44 - 12
    assert not shrinking[np.ix_([2, 13], [2, 13])].any()


def matched(*slices, t=(0.25, 0.5, 0.75)):
    return impute_classically("shape_matched", label_stack(*slices), list(t)).label


def test_matched_discs_have_the_mean_area_and_lie_between():
    """Radii 4 and 12: 49 and 441 pixels, so 147, 245 and 343; by radius it would be 6, 8, 10."""
    small, large = disc(24, 4), disc(24, 12)
    assert (small.sum(), large.sum()) == (49, 441)
    made = matched(small, large)[0] > 0
    np.testing.assert_allclose(made.sum(axis=(1, 2)), [147, 245, 343], atol=8)  # symmetric pixels
    assert made[:, small].all()
    assert not made[:, ~large].any()


@pytest.mark.parametrize("shift", [4, 8])
def test_a_matched_disc_keeps_its_area_where_it_moves(shift):
    pair = disc(24 - shift // 2, 5), disc(24 + shift // 2, 5)
    halfway = matched(*pair, t=[0.5])[0, 0] > 0
    assert halfway.sum() == pytest.approx(pair[0].sum(), abs=4)
    assert dice(halfway, disc(24, 5)) > (0.95 if shift == 4 else 0.88)


def test_a_matched_ball_has_its_sections():
    radius, depths = 15, np.arange(-12, 13, 4)
    ball = matched(*(disc(24, np.sqrt(radius**2 - z**2)) for z in depths))
    found = (ball > 0).sum(axis=(2, 3))
    between = np.add.outer(depths[:-1], [1, 2, 3])
    np.testing.assert_allclose(found[1:-1], np.pi * (radius**2 - between[1:-1] ** 2), rtol=0.03)


def test_matched_ends_go_on_as_the_outline_did():
    """A cap that lost 4/5 of its area is over soon; one cut off ends half-way."""
    nothing = np.zeros((48, 48), bool)
    tapered = matched(disc(24, 11), disc(24, 5), nothing)[1] > 0
    assert not tapered.any((1, 2))[1:].any()
    cut = matched(disc(24, 10), disc(24, 10), nothing)[1] > 0
    np.testing.assert_allclose(cut[0].sum(), disc(24, 10).sum() / 2, atol=4)
    assert not cut[0][~disc(24, 10)].any()
    assert not cut[1:].any()


@given(arrays(np.uint8, (1, 5, 6), elements=st.integers(0, 3)), st.sampled_from([0.2, 0.5, 0.9]))
@settings(deadline=None)
def test_matched_labels_of_equal_slices_stay_as_they_are(slices, t):
    made = matched(*np.repeat(slices, 4, axis=0), t=[t])
    assert np.array_equal(made[:, 0], np.repeat(slices, 3, axis=0))


@pytest.mark.parametrize(("shift", "at_least"), [(4, 0.93), (8, 0.75)])
def test_shape_based_moving_disc_agrees_with_raya_and_udupa(shift, at_least):
    """Of one label: the zero level of the mean signed distance, outline included.

    Dice as measured elsewhere holds with the outline left out, so it is the least there can be.
    """
    pair = disc(24 - shift // 2, 5), disc(24 + shift // 2, 5)
    distances = [distance_transform_edt(one) - distance_transform_edt(~one) for one in pair]
    halfway = impute_classically("shape_based", label_stack(*pair), [0.5]).label[0, 0] == 1
    assert np.array_equal(halfway, np.mean(distances, axis=0) >= 0)
    assert dice(halfway, disc(24, 5)) > at_least


def test_shape_based_discs_grow_linearly():
    stack = label_stack(disc(24, 4), disc(24, 12))
    imputed = impute_classically("shape_based", stack, [0.25, 0.5, 0.75]).label[0]
    radii = np.sqrt(imputed.sum(axis=(1, 2)) / np.pi)
    np.testing.assert_allclose(radii, [6, 8, 10], atol=0.5)


@given(
    kind=st.sampled_from(list(RULES)),
    label=st.integers(2, 6).flatmap(
        lambda depth: arrays(np.uint16, (depth, 3, 4), elements=st.sampled_from([0, 1, 2, 700]))
    ),
    positions=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=3),
)
@settings(deadline=None, max_examples=150)
def test_label_ids_come_from_the_two_neighbours(kind, label, positions):
    stack = make_stack(np.zeros((len(label), 1, 3, 4)), label)
    imputed = impute_classically(kind, stack, positions).label
    assert imputed.dtype == label.dtype
    assert imputed.shape == (len(label) - 1, len(positions), 3, 4)
    for interval, slices in enumerate(imputed):
        assert set(np.unique(slices)) <= set(np.unique(label[interval : interval + 2]))


@given(label=arrays(np.uint8, (5, 3, 4), elements=st.integers(0, 3)), t=st.sampled_from([0.2, 0.8]))
@settings(deadline=None)
def test_linear_votes_go_to_the_nearer_slice(label, t):
    stack = make_stack(np.zeros((5, 1, 3, 4)), label)
    nearer = label[:-1] if t < 0.5 else label[1:]
    assert np.array_equal(impute_classically("linear", stack, [t]).label[:, 0], nearer)


@pytest.mark.parametrize(
    ("kind", "first", "second", "winner"),
    [
        ("linear", 2, 1, 2),
        ("linear", 1, 2, 1),
        ("linear", 0, 1, 0),
        ("linear", 1, 0, 1),
        ("nearest", 0, 1, 0),
        ("nearest", 2, 1, 2),
        ("shape_based", 2, 1, 2),
        ("shape_based", 1, 2, 1),
        ("shape_based", 0, 1, 1),
        ("shape_based", 1, 0, 1),
    ],
)
def test_halfway_ties_go_to_the_first_slice_save_of_shapes(kind, first, second, winner):
    stack = label_stack(np.full((2, 2), first), np.full((2, 2), second))
    assert (impute_classically(kind, stack, [0.5]).label == winner).all()


def test_big_endian_labels_keep_their_dtype():
    label = np.stack([np.eye(3), np.eye(3)]).astype(">u2")
    stack = make_stack(np.zeros((2, 1, 3, 3)), label)
    for rule in RULES:
        assert impute_classically(rule, stack, [0.5]).label.dtype == np.dtype(">u2")


def test_confidence_is_the_agreement_of_the_neighbours_whatever_t():
    image = np.zeros((3, 2, 1, 2))
    image[1] = [[[30, 100]], [[10, 500]]]  # two channels; 500 is clipped to the window's 100
    confidence = impute_classically("cubic", make_stack(image), THIRDS).confidence
    assert confidence.shape == (2, 2, 1, 2)
    np.testing.assert_allclose(confidence, np.broadcast_to([0.8, 0.0], (2, 2, 1, 2)), atol=1e-6)


def test_no_positions_impute_nothing():
    for rule in RULES:
        synthetic = impute_classically(rule, label_stack(np.eye(3), np.eye(3)), [])
        assert synthetic.image.shape == (1, 0, 1, 3, 3)
        assert synthetic.label.shape == (1, 0, 3, 3)


def test_one_slice_has_no_interval():
    with pytest.raises(ValueError, match="1 slice has no interval"):
        impute_classically("linear", make_stack(noise(depth=1)), [0.5])
