"""Every scan says how far its labels depart from those by shape alone."""

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import learned_imputer
from slicefill.imputation.label_choice import LabelChoice, choose_labels
from slicefill.imputation.methods.pretrained import load_pretrained
from slicefill.params import EndParams
from slicefill.types import Case, Volume

ENDS = EndParams()


def discs(radii, size=32):
    """Discs of label 1 in the middle of slices, `(D, size, size)`."""
    i, j = np.indices((size, size)) - size / 2 + 0.5
    return np.stack([np.hypot(i, j) <= radius for radius in radii]).astype(np.uint8)


def ball(depth, radius=13.0, size=32):
    heights = np.linspace(-1.2, 1.2, depth) * radius
    return discs(np.sqrt(np.maximum(radius**2 - heights**2, 0)), size)


def leaning(depth, size=32):
    """A ball that moves by a pixel a slice, `(D, size, size)`."""
    i, j = np.indices((size, size)) - size / 2 + 0.5
    places = np.arange(depth) - (depth - 1) / 2
    radii = 9 * np.sqrt(np.maximum(1 - (2.3 * places / (depth - 1)) ** 2, 0))
    slices = [np.hypot(i, j - at) <= radius for at, radius in zip(places, radii, strict=True)]
    return np.stack(slices).astype(np.uint8)


def drifting(depth, step, size=32):
    """Texture that moves by `step` pixels a slice, `(D, size, size)`, 0 to 1000."""
    texture = gaussian_filter(np.random.default_rng(0).normal(size=(size, 2 * size)), 1.5)
    texture = 500 + 200 * texture / texture.std()
    return np.stack([np.roll(texture, step * k, 1)[:, :size] for k in range(depth)]).clip(0, 1000)


@pytest.fixture(scope="module")
def impute(imputation_params):
    def by(image, label=None, **changes):
        """Impute what every other of some slices shows."""
        volumes = []
        for slices, dtype in ((image, np.float32), (label, np.uint8)):
            if slices is not None:
                stored = np.ascontiguousarray(np.moveaxis(slices[::2], 0, 2).astype(dtype))
                header = nib.Nifti1Image(stored, np.diag([1.0, 1, 2, 1])).header
                volumes.append(Volume(stored, header))
        params = imputation_params(through_plane="auto", count=1, **changes)
        return impute_case(
            Case(*volumes), learned_imputer("pretrained", load_pretrained(), params), params
        )

    return by


def made(imputed):
    return np.moveaxis(imputed.label.stored[..., 1::2], 2, 0)


def test_what_narrows_fast_follows_its_areas_and_what_is_even_its_shape():
    narrows, even = (choose_labels(label, ENDS) for label in (ball(13), discs([9] * 13)))
    assert narrows.gained > 0.02
    assert narrows.share > 0.5
    assert (even.gained, even.dice, even.share, even.tried) == (0, 1, 0, 11)


def test_the_share_is_that_of_its_formula_and_says_why():
    found = choose_labels(ball(13), ENDS)
    expected = found.gained / (found.gained + 0.02 * found.dice**6)
    assert found.share == pytest.approx(expected)
    assert f"{found.gained:+.4f}" in found.record()["why"]
    assert found == choose_labels(ball(13), ENDS)


def test_dice_by_shape_of_one_slice_is_that_by_hand():
    """Between 2 x 2 and 6 x 6 pixels, shape has 4 x 4; the truth is 6 x 6."""
    label = np.zeros((3, 12, 12), np.uint8)
    for half, one in zip((1, 3, 3), label, strict=True):
        one[6 - half : 6 + half, 6 - half : 6 + half] = 1
    found = choose_labels(label, ENDS)
    assert found.dice - found.gained == pytest.approx(2 * 16 / (16 + 36))
    assert found.tried == 1


@pytest.mark.parametrize(
    "label", [None, ball(2), np.zeros((9, 8, 8), np.uint8), discs([5, 0, 0, 0, 5])]
)
def test_what_nothing_can_be_told_of_is_left_to_the_weights(label):
    assert choose_labels(label, ENDS) == LabelChoice()
    assert "no acquired slice" in LabelChoice().record()["why"]


def test_a_long_scan_is_tried_in_the_middle_of_its_labels():
    label = np.zeros((120, 32, 32), np.uint8)
    label[70:111] = ball(41)
    assert choose_labels(label, ENDS) == choose_labels(ball(41)[9:31], ENDS)
    assert choose_labels(label, ENDS).tried == 20


def test_labels_that_stand_still_do_not_follow_an_image_that_moves(impute):
    label = discs([9] * 21)
    chosen = impute(drifting(21, 2), label)
    assert chosen.record["choice"]["labels"]["share"] == 0
    assert np.array_equal(made(chosen), label[1::2])


def test_labels_that_narrow_and_move_are_better_for_it_than_by_shape(impute, monkeypatch):
    label = leaning(13)
    image = drifting(13, 0) * 0.2 + 600.0 * label
    chosen, weights = (impute(image, label, choose=c) for c in (True, False))
    assert chosen.record["choice"]["labels"]["share"] > 0.5
    assert weights.record["choice"] is None
    monkeypatch.setattr(
        "slicefill.imputation.impute.choose_labels", lambda *_: LabelChoice(share=0.0)
    )
    by_shape = impute(image, label)
    wrong = [np.count_nonzero(made(one) != label[1::2]) for one in (chosen, by_shape)]
    assert wrong[0] < wrong[1]


def test_a_label_changes_nothing_of_the_image_and_is_not_needed(impute):
    image, label = drifting(11, 1), ball(11)
    with_label, without = impute(image, label), impute(image)
    assert with_label.image.stored.tobytes() == without.image.stored.tobytes()
    assert "labels" not in without.record["choice"]
    assert without.label is None


def test_other_fields_of_labels_are_not_questioned(impute):
    imputed = impute(drifting(11, 1), ball(11), label_field="one_hot")
    assert "labels" not in imputed.record["choice"]
