from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from scipy.ndimage import label as components

from slicefill.simulation.random_fields import smooth_field
from slicefill.simulation.virtual_subjects import LABEL_NAMES, virtual_subject

SMALL = (48, 56, 40)


@pytest.fixture(scope="module")
def subjects():
    return [virtual_subject(seed, SMALL) for seed in range(5)]


def test_the_same_seed_gives_the_same_subject_and_another_seed_another(subjects):
    again = virtual_subject(0, SMALL)
    np.testing.assert_array_equal(again.image.stored, subjects[0].image.stored)
    np.testing.assert_array_equal(again.label.stored, subjects[0].label.stored)
    for one, other in pairwise(subjects):
        assert (one.image.stored != other.image.stored).mean() > 0.5
        assert (one.label.stored != other.label.stored).mean() > 0.02


def test_image_and_label_share_a_grid_of_1_mm_ras(subjects):
    for case in subjects:
        assert case.image.stored.shape == case.label.stored.shape == SMALL
        assert case.image.stored.dtype == np.int16
        assert case.label.stored.dtype == np.uint8
        np.testing.assert_array_equal(case.image.affine, case.label.affine)
        np.testing.assert_array_equal(case.image.affine[:3, :3], np.eye(3))


def test_the_crop_lies_around_the_middle_of_the_brain():
    case = virtual_subject(0, SMALL)
    middle = case.image.affine @ [*(np.array(SMALL) / 2), 1]
    # MNI coordinates: the brain reaches from about -72 to 72, -106 to 74 and -71 to 83 mm.
    np.testing.assert_allclose(middle[:3], [0, -16, 6], atol=6)


def test_every_label_is_there_and_the_lesion_is_small_and_mostly_one_piece(subjects):
    for case in subjects:
        label = case.label.stored
        assert set(np.unique(label)) == {0, *LABEL_NAMES}
        lesion = label == 3
        assert 100 < lesion.sum() < 20_000  # mm³
        pieces, _ = components(lesion)
        assert np.bincount(pieces[lesion]).max() > 0.6 * lesion.sum()


def test_white_matter_is_brighter_than_grey_matter_and_grey_than_the_rest(subjects):
    for case in subjects:
        image, label = case.image.stored, case.label.stored
        rest, grey, white = (np.median(image[label == tissue]) for tissue in (0, 1, 2))
        assert rest < grey < white


def test_the_lesion_differs_from_the_white_matter_around_it(subjects):
    for case in subjects:
        image, label = case.image.stored, case.label.stored
        white, lesion = image[label == 2], image[label == 3]
        assert abs(np.median(lesion) - np.median(white)) > 0.5 * white.std()


def test_air_holds_the_rayleigh_noise_of_a_magnitude_image():
    case = virtual_subject(3)  # the default crop reaches beyond the brain
    air = case.image.stored[distance_transform_edt(case.label.stored == 0) > 10]
    assert air.size > 1000
    assert air.min() >= 0
    # Rayleigh's distribution: mean / standard deviation = sqrt(pi / (4 - pi)).
    assert air.mean() / air.std() == pytest.approx(1.91, abs=0.1)


def test_anatomy_changes_from_slice_to_slice_but_slowly(subjects):
    for case in subjects:
        image = case.image.stored.astype(float)
        near, far = np.diff(image, axis=2).std(), (image[:, :, 16:] - image[:, :, :-16]).std()
        assert 0 < near < 0.7 * far


def test_the_record_says_that_it_is_simulated_and_from_which_seed(subjects):
    record = subjects[2].record
    assert "simulated" in record["origin"]
    assert "MNI152" in record["origin"]
    assert record["seed"] == 2


def test_a_crop_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match=r"at least 32 voxels along each axis, got \(48, 56, 8\)"):
        virtual_subject(0, (48, 56, 8))


def testsmooth_fields_have_unit_variance_and_the_correlation_of_a_gaussian_filter():
    rng = np.random.default_rng(0)
    fields = np.stack([smooth_field((40, 40, 40), 5.0, rng) for _ in range(20)])
    assert fields.std() == pytest.approx(1, abs=0.05)
    # Noise filtered with sigma s correlates as exp(-d² / 4 s²): at d = s, exp(-1/4) = 0.78.
    correlation = np.mean(fields[:, 5:] * fields[:, :-5]) / np.mean(fields**2)
    assert correlation == pytest.approx(np.exp(-0.25), abs=0.05)
