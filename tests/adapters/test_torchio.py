"""Imputation as a TorchIO transform, with TorchIO itself."""

import numpy as np
import pytest
import torch

from slicefill import api
from slicefill.io.case_folder import write_volume

torchio = pytest.importorskip("torchio", reason="the extra `dev` is not installed")

from slicefill.adapters.torchio import Impute  # noqa: E402


@pytest.fixture
def files(case, tmp_path):
    made = case()
    write_volume(made.image, tmp_path / "scan.nii.gz")
    write_volume(made.label, tmp_path / "label.nii.gz")
    return tmp_path / "scan.nii.gz", tmp_path / "label.nii.gz"


@pytest.fixture
def subject(files):
    return torchio.Subject(scan=torchio.ScalarImage(files[0]), label=torchio.LabelMap(files[1]))


def test_a_subject_is_imputed_as_by_the_api(subject, files):
    done = Impute("linear", count=3)(subject)
    expected = api.impute(api.read(*files), method="linear", count=3)
    np.testing.assert_allclose(done.scan.data[0], expected.image.intensities(), atol=0.51)
    np.testing.assert_array_equal(done.scan.data[..., ::4], subject.scan.data)
    np.testing.assert_array_equal(done.label.data[0], expected.label.stored)
    np.testing.assert_allclose(done.scan.affine, expected.image.affine, atol=1e-5)
    done.check_consistent_space()
    assert subject.scan.shape != done.scan.shape  # the input is as it was


def test_spacing_chooses_the_grid_and_the_weights_are_the_default(subject):
    done = Impute(spacing=1.0)(subject)
    assert subject.scan.spacing[2] == pytest.approx(4)
    assert done.scan.spacing[2] == pytest.approx(1)


def test_every_image_is_imputed_and_every_label_map_follows_the_first(subject):
    subject.add_image(
        torchio.ScalarImage(tensor=-subject.scan.data, affine=subject.scan.affine), "t1"
    )
    subject.add_image(
        torchio.LabelMap(tensor=subject.label.data, affine=subject.scan.affine), "two"
    )
    done = Impute("cubic", count=1)(subject)
    done.check_consistent_space()
    np.testing.assert_array_equal(done.two.data, done.label.data)
    np.testing.assert_array_equal(done.t1.data[..., ::2], subject.t1.data)


def test_include_and_composition_and_history_are_those_of_torchio(subject):
    one = Impute("linear", include=["scan"], count=1)
    done = torchio.Compose([one, torchio.RescaleIntensity((0, 1))])(subject)
    assert done.label.shape == subject.label.shape
    again = done.history[0](subject)
    np.testing.assert_array_equal(again.scan.data, one(subject).scan.data)


def test_an_image_alone_is_imputed(subject):
    done = Impute("linear", count=1)(subject.scan)
    assert isinstance(done, torchio.ScalarImage)
    assert done.shape[-1] == 2 * subject.scan.shape[-1] - 1


def test_a_constant_or_wrong_input_is_refused_with_what_to_do(subject):
    with pytest.raises(ValueError, match="expected an image beside the label maps"):
        Impute(include=["label"])(subject)
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        Impute(params={"cuont": 1})
    subject.label.set_data(subject.label.data[..., :-1])
    with pytest.raises(ValueError, match="label map on the grid of the image"):
        Impute("linear")(subject)
    subject.label.set_data(torch.full(subject.scan.shape, 0.5))
    with pytest.raises(ValueError, match="whole numbers"):
        Impute("linear")(subject)
