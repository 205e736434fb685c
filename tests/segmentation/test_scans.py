"""What a network sees of a case: labels, weights and intensities, all known by hand."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import classical_imputer
from slicefill.params import AugmentationParams
from slicefill.segmentation.scans import describe_slices, make_scan
from slicefill.types import Case

COUNT, STEP, DEPTH = 2, 3, 10  # 4 acquired slices, two synthetic ones in each interval
PERCENTILES = {"kind": "percentile", "low": 0.5, "high": 99.5}


@pytest.fixture(scope="module")
def params(configuration):
    base = configuration()["parameters"]["augmentation"]
    return lambda **changes: AugmentationParams(**{**base, "through_plane": "auto", **changes})


@pytest.fixture
def acquired_case(volume):
    """A turned case of 4 slices 4 mm apart along an array axis, and these slices in front."""

    def make(axis=2, channels=(), **options):
        rng = np.random.default_rng(0)
        slices = rng.integers(0, 900, (4, 12, 10, *channels)).astype(np.int16)
        labels = rng.choice([0, 2, 5], (4, 12, 10)).astype(np.uint8)
        turn = nib.eulerangles.euler2mat(0.3, -0.2, 0.4)
        pitch = np.insert([0.7, 0.8], axis, 4.0)
        affine = nib.affines.from_matvec(turn @ np.diag(pitch), [-40.0, 25.0, 7.0])
        image = volume(np.moveaxis(slices, 0, axis), affine, **options)
        return Case(image, volume(np.moveaxis(labels, 0, axis), affine)), slices, labels

    return make


@pytest.fixture
def fill(imputation_params):
    def impute_linearly(case):
        params = imputation_params(through_plane="auto", count=COUNT)
        return impute_case(case, classical_imputer("linear", params), params)

    return impute_linearly


def with_confidence(imputed, value, axis=2):
    """The imputed case with that confidence everywhere, acquired slices included."""
    confidence = imputed.maps["confidence"]
    stored = np.full_like(confidence.stored, round(value * 10_000))
    return replace(imputed, maps={**imputed.maps, "confidence": confidence.with_stored(stored)})


def shown(slices, low, high):
    """Slices `(D, H, W)` as numbers from 0 at `low` to 1 at `high`, `(D, 1, H, W)`."""
    return np.clip((slices.astype(float) - low) / (high - low), 0, 1)[:, None]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_acquired_slices_bring_their_labels_weights_and_intensities(
    axis, acquired_case, fill, params
):
    case, slices, labels = acquired_case(axis)
    scan = make_scan(case, fill(case), None, params(window=PERCENTILES))
    assert scan.image.shape == (DEPTH, 1, 12, 10)
    assert (scan.image.dtype, scan.label.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(np.flatnonzero(scan.acquired), [0, 3, 6, 9])
    np.testing.assert_array_equal(scan.label[::STEP], labels)
    assert (scan.weight[::STEP] == 1).all()
    expected = shown(slices, *np.percentile(slices, [0.5, 99.5]))
    np.testing.assert_allclose(scan.image[::STEP], expected, atol=1e-6)
    np.testing.assert_allclose(scan.spacing, [4 / 3, 0.7, 0.8], rtol=1e-5)
    assert scan.axis == axis


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_synthetic_slices_bring_the_labels_they_were_imputed_with(
    axis, acquired_case, fill, params
):
    case, *_ = acquired_case(axis)
    imputed = fill(case)
    scan = make_scan(case, imputed, None, params(confidence_threshold=0.0))
    np.testing.assert_array_equal(np.moveaxis(scan.label, 0, axis), imputed.label.stored)
    assert (scan.weight == 1).all()


@pytest.mark.parametrize("channels", [(), (2,)])
def test_acquired_slices_look_the_same_with_and_without_imputation(
    channels, acquired_case, fill, params
):
    case, *_ = acquired_case(channels=channels)
    alone = make_scan(case, None, None, params(window=PERCENTILES))
    between = make_scan(case, fill(case), None, params(window=PERCENTILES))
    np.testing.assert_array_equal(between.image[::STEP], alone.image)
    np.testing.assert_array_equal(between.label[::STEP], alone.label)
    np.testing.assert_allclose(alone.spacing, [4.0, 0.7, 0.8], rtol=1e-5)
    assert alone.acquired.all()


def test_every_channel_has_a_window_of_its_own(acquired_case, params):
    case, slices, _ = acquired_case(channels=(2,))
    slices[..., 1] //= 3  # a view of what the case stores
    scan = make_scan(case, None, None, params(window=PERCENTILES))
    assert scan.image.shape == (4, 2, 12, 10)
    for channel in (0, 1):
        own = slices[..., channel]
        expected = shown(own, *np.percentile(own, [0.5, 99.5]))
        np.testing.assert_allclose(scan.image[:, [channel]], expected, atol=1e-6)


def test_a_fixed_window_is_in_the_unit_of_the_scan(acquired_case, params):
    case, slices, _ = acquired_case(scale=(2.0, -100.0))
    scan = make_scan(case, None, None, params(window={"kind": "fixed", "low": 0, "high": 400}))
    expected = shown(slices * 2.0 - 100.0, 0, 400)
    np.testing.assert_allclose(scan.image, expected, atol=1e-6)


def test_distrusted_voxels_lose_their_weight_on_synthetic_slices_only(acquired_case, fill, params):
    case, *_ = acquired_case()
    imputed = with_confidence(fill(case), 1.0)
    confidence = imputed.maps["confidence"].stored
    confidence[2, 3, :] = 4000  # of 10,000: 0.4, on every slice
    for threshold in (0.5, 1.0):  # what reaches it is trusted
        scan = make_scan(case, imputed, None, params(confidence_threshold=threshold))
        expected = np.ones((DEPTH, 12, 10))
        expected[~scan.acquired, 2, 3] = 0
        np.testing.assert_array_equal(scan.weight, expected)
    assert make_scan(case, imputed, None, params(confidence_threshold=0.4)).weight.all()


def test_where_a_method_imputes_no_label_only_acquired_slices_are_labelled(
    acquired_case, fill, params
):
    case, _, labels = acquired_case()
    scan = make_scan(case, replace(fill(case), label=None), None, params())
    np.testing.assert_array_equal(scan.label[::STEP], labels)
    np.testing.assert_array_equal(scan.weight.min(axis=(1, 2)), scan.acquired)
    assert not scan.weight[~scan.acquired].any()
    assert not scan.label[~scan.acquired].any()


def test_a_case_without_label_has_no_weight_anywhere(acquired_case, fill, params):
    unlabelled = replace(acquired_case()[0], label=None)
    for imputed in (None, fill(unlabelled)):
        scan = make_scan(unlabelled, imputed, None, params())
        assert not scan.weight.any()
        assert not scan.label.any()


def test_slice_weights_multiply_the_weights_of_voxels(acquired_case, fill, params):
    case, *_ = acquired_case()
    imputed = with_confidence(fill(case), 1.0)
    imputed.maps["confidence"].stored[2, 3, 1] = 0
    weights = np.arange(DEPTH) / 4
    scan = make_scan(case, imputed, weights.tolist(), params(confidence_threshold=0.5))
    expected = np.ones((DEPTH, 12, 10)) * weights[:, None, None]
    expected[1, 2, 3] = 0
    np.testing.assert_array_equal(scan.weight, expected)


def test_a_wrong_number_of_slice_weights_is_refused(acquired_case, fill, params):
    case, *_ = acquired_case()
    with pytest.raises(ValueError, match="a weight for each of 10 slices, got 4"):
        make_scan(case, fill(case), [1.0] * 4, params())


def test_slices_are_described_one_by_one(acquired_case, fill, params):
    case, *_ = acquired_case(axis=1)
    imputed = with_confidence(fill(case), 1.0)
    imputed.maps["confidence"].stored[:6, 1, :] = 0  # half of slice 1
    rows = describe_slices(case, imputed, params(synthetic_weight=0.25))
    assert [row["slice"] for row in rows] == list(range(DEPTH))
    assert [row["acquired"] for row in rows] == [k in (0, 3, 6, 9) for k in range(DEPTH)]
    assert all(row["labelled"] for row in rows)
    assert [row["confidence"] for row in rows] == pytest.approx([1, 0.5] + [1] * 8)
    assert [row["weight"] for row in rows] == [1, 0.25, 0.25, 1, 0.25, 0.25, 1, 0.25, 0.25, 1]


def test_slices_without_a_label_have_weight_0(acquired_case, fill, params):
    case, *_ = acquired_case()
    known, unknown = {"labelled": True, "weight": 1.0}, {"labelled": False, "weight": 0.0}
    cases = {
        "acquired alone": (case, None, [known] * 4),
        "no label imputed": (
            case,
            replace(fill(case), label=None),
            [known if k % STEP == 0 else unknown for k in range(DEPTH)],
        ),
        "no label at all": (replace(case, label=None), None, [unknown] * 4),
    }
    for name, (thick_case, imputed, expected) in cases.items():
        rows = describe_slices(thick_case, imputed, params())
        assert [{key: row[key] for key in known} for row in rows] == expected, name


def test_acquired_slices_alone_are_all_acquired_and_trusted(acquired_case, params):
    rows = describe_slices(acquired_case(axis=0)[0], None, params())
    assert [(row["slice"], row["acquired"], row["confidence"]) for row in rows] == [
        (k, True, 1.0) for k in range(4)
    ]


def test_described_weights_reach_the_loss(acquired_case, fill, params):
    case, *_ = acquired_case()
    imputed = with_confidence(fill(case), 1.0)
    imputed.maps["confidence"].stored[2, 3, 1] = 0
    made = params(synthetic_weight=0.25, confidence_threshold=0.5)
    weights = [row["weight"] for row in describe_slices(case, imputed, made)]
    scan = make_scan(case, imputed, weights, made)
    expected = np.where(scan.acquired, 1, 0.25)[:, None, None] * np.ones((1, 12, 10))
    expected[1, 2, 3] = 0
    np.testing.assert_array_equal(scan.weight, expected)


def test_of_an_exact_grid_the_acquired_slices_on_it_are_seen(
    acquired_case, imputation_params, params
):
    """4 slices 4 mm apart on a grid of 1.6 mm: those at 0 and 8 mm fall on it, 4 and 12 do not."""
    case, slices, labels = acquired_case()
    exactly = imputation_params(through_plane="auto", count=None, target_spacing=1.6, exact=True)
    imputed = impute_case(case, classical_imputer("linear", exactly), exactly)
    seen = params(window=PERCENTILES, synthetic_weight=0.25, confidence_threshold=0.0)
    rows = describe_slices(case, imputed, seen)
    assert [row["acquired"] for row in rows] == [k in (0, 5) for k in range(8)]
    scan = make_scan(case, imputed, [row["weight"] for row in rows], seen)
    assert scan.acquired.tolist() == [k in (0, 5) for k in range(8)]
    assert np.array_equal(scan.label[[0, 5]], labels[[0, 2]])
    low, high = np.percentile(slices, [0.5, 99.5])
    np.testing.assert_allclose(scan.image[[0, 5]], shown(slices[[0, 2]], low, high), atol=1e-6)
    assert scan.weight.mean(axis=(1, 2)) == pytest.approx([1, *[0.25] * 4, 1, 0.25, 0.25])
    assert scan.spacing[0] == pytest.approx(1.6)
