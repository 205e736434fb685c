"""Views segmented on their acquired slices, filled before or not."""

import numpy as np
import pytest

from slicefill.imputation.imputers import load_named
from slicefill.params import InferenceParams, PredictionParams, ScanParams
from slicefill.params.imputation import imputation_params
from slicefill.segmentation.inference import wrap_all
from slicefill.segmentation.opened import Opened
from slicefill.views.segmenting import segment_view

FINER = {"kind": "subvoxel_shift", "rows": 2, "interpolation": "linear"}
RULE = imputation_params(count=1, device="cpu")


def bright(scan):
    inside = (scan.image[:, 0] > 100).astype(np.float32)
    return np.stack([1 - inside, inside])


def network(*wrappers):
    inference = InferenceParams(wrappers=list(wrappers))
    params = PredictionParams(label_names={0: "dark", 1: "bright"}, inference=inference)
    seen = ScanParams(through_plane="auto", window=None)
    return Opened(wrap_all(bright, inference.wrappers), params, seen, "bright")


@pytest.mark.parametrize("method", [None, "linear"])
def test_labels_lie_on_the_grid_of_the_view_or_are_refused(case, method):
    view = case("i2", shape=(8, 9, 5))
    imputer = load_named(method, RULE) if method else None
    made = segment_view(view, network(), imputer, RULE)
    np.testing.assert_array_equal(made.label.stored, view.image.stored > 100)
    np.testing.assert_allclose(made.label.affine, view.image.affine)
    with pytest.raises(ValueError, match=r"got \(1, 2, 1\) times as fine .*take wrappers"):
        segment_view(view, network(FINER), imputer, RULE)
