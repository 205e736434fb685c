import nibabel as nib
import numpy as np
import pytest

from slicefill.fusion import fuse
from slicefill.types import Prediction, Volume


def view(labels):
    stored = np.array(labels, np.uint8).reshape(-1, 1, 1)
    return Prediction(Volume(stored, nib.Nifti1Image(stored, np.eye(4)).header))


def test_most_views_win_and_the_earliest_of_tied_ones():
    views = [view([1, 1, 1, 0]), view([2, 2, 1, 3]), view([2, 3, 0, 3])]
    fused = fuse(views, {"kind": "vote"})
    assert fused.label.stored.ravel().tolist() == [2, 1, 1, 3]
    assert fused.label.stored.dtype == np.uint8
    assert fused.record == {"views": 3}


def test_one_view_is_itself_and_others_must_lie_on_its_grid():
    alone = view([1, 0, 2])
    np.testing.assert_array_equal(fuse([alone], {"kind": "vote"}).label.stored, alone.label.stored)
    with pytest.raises(ValueError, match="label maps of one shape"):
        fuse([alone, view([1, 2])], {"kind": "vote"})
    with pytest.raises(ValueError, match=r"fusion\.kind: expected one of vote, got 'x'"):
        fuse([alone], {"kind": "x"})
