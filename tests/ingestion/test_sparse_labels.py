import numpy as np
import pytest

from slicefill.ingestion.checks import BadCase
from slicefill.ingestion.sparse_labels import is_sparse

EVERY = {n: list(range(1, 30, n)) for n in (2, 3, 5, 10)}


@pytest.mark.parametrize("labelled", EVERY.values(), ids=map(str, EVERY))
def test_every_nth_slice_is_a_pattern(labelled):
    assert is_sparse(labelled)


@pytest.mark.parametrize(
    "labelled",
    [
        np.linspace(3, 40, 6).round().astype(int).tolist(),  # gaps of 6 and 7
        [2, 3, 8, 9, 14, 15],
        [4, 9, 10, 15, 16, 21],  # shorter at the ends
    ],
)
def test_other_regular_patterns(labelled):
    assert is_sparse(labelled)


@pytest.mark.parametrize(
    "labelled",
    [
        [],
        [5],
        [3, 9],
        list(range(4, 20)),
        [3, 4, 5, 9, 10, 14],  # two structures
        [2, 7, 9],  # small lesions
        [1, 2, 3, 5, 6, 7, 9, 10, 11],  # longer than the gaps
        [3, 6, 20, 22],
    ],
)
def test_anatomy_is_no_pattern(labelled):
    assert not is_sparse(labelled)


@pytest.fixture
def sparse(write):
    """An image and a label map with every other of 9 slices labelled, 4 mm apart."""
    stored = np.zeros((6, 5, 9), np.uint8)
    stored[2:4, 2:4, 1::2] = 1
    return write("image.nii.gz", np.ones((6, 5, 9), np.int16)), write("label.nii.gz", stored)


def test_sparse_annotation_is_refused_with_what_helps(sparse, read):
    with pytest.raises(BadCase) as refused:
        read(*sparse)
    assert "slices 1, 3, 5, 7, … alone, 4 of 9" in str(refused.value)
    assert refused.value.file == sparse[1]
    assert "slicefill propagate" in refused.value.remedy
    assert "ingestion.labels.need=ignored" in refused.value.remedy
    assert read(*sparse, labels={"need": "ignored"}).label is None
    told = "impute in a Kedro run: --params ingestion.labels.sparse=background"
    assert told in refused.value.remedy  # no option of `slicefill impute`
    assert read(*sparse, labels={"sparse": "background"}).label.stored.any()


def test_the_axis_across_slices_counts(write, read):
    stored = np.zeros((6, 5, 9), np.uint8)
    stored[1::2, 2:4] = 1  # stripes in every slice
    image = write("image.nii.gz", np.ones((6, 5, 9), np.int16))
    assert read(image, write("label.nii.gz", stored)).label.stored.any()
    with pytest.raises(BadCase, match="blank slices between them"):
        read(image, write("label.nii.gz", stored), through_plane="L")
