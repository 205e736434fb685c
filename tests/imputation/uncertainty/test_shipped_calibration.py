"""Confidence as the shipped weights write it, against the errors of volumes that they never saw."""

import nibabel as nib
import numpy as np
import pytest

from slicefill.imputation.impute import impute_case
from slicefill.imputation.imputers import load_named
from slicefill.metrics.confidence import ConfidenceErrors, confidence_gain
from slicefill.params import ImputationParams
from slicefill.simulation.procedural import procedural_volume
from slicefill.types import Case, Volume

COUNT, SEEDS = 2, range(2_000_000, 2_000_006)  # far from those of training and calibration


@pytest.fixture(scope="module")
def known():
    """Confidence and true error of the synthetic voxels of every phantom."""
    params = ImputationParams(count=COUNT)
    imputer = load_named("pretrained", params)
    return [
        _compare(np.moveaxis(procedural_volume(n, 48, 0.3), 0, 2), imputer, params) for n in SEEDS
    ]


def _compare(values, imputer, params):
    stored = np.rint(1000 * values).astype(np.int16)
    kept = np.ascontiguousarray(stored[..., :: COUNT + 1])
    header = nib.Nifti1Image(kept, np.diag([1.0, 1.0, COUNT + 1, 1.0])).header
    made = impute_case(Case(Volume(kept, header)), imputer, params)
    low, high = np.array(made.record["window_shown"])[0]
    depth = made.image.stored.shape[2]
    shown = [np.clip((each - low) / (high - low), 0, 1) for each in (made.image.stored, stored)]
    error = np.abs(shown[0] - shown[1][..., :depth])
    synthetic = made.maps["synthetic_mask"].stored > 0
    confidence = made.maps["confidence"].intensities()
    assert (confidence[~synthetic] == 1).all()
    assert confidence.min() >= 0
    return ConfidenceErrors(confidence[synthetic], error[synthetic], error[synthetic])


def test_phantoms_err_as_much_as_is_expected(known):
    """The calibration knows development scans alone; each phantom is unlike these in some way."""
    expected, found = (np.array([f(each) for each in known]) for f in (_expected, _found))
    assert expected.mean() == pytest.approx(found.mean(), rel=0.2)
    assert expected == pytest.approx(found, rel=0.5)


def test_the_least_confident_voxels_err_most(known):
    gains = [confidence_gain(each) for each in known]
    assert min(gains) > 0.05
    assert np.mean(gains) > 0.3


def _expected(known):
    return 1 - known.confidence.mean(dtype=np.float64)


def _found(known):
    return known.error.mean(dtype=np.float64)
