import nibabel as nib
import numpy as np
import pytest
from kedro.io import DatasetError

from slicefill.datasets.raw import RawFolder, VirtualSubjects
from slicefill.simulation.virtual_subjects import virtual_subject

CROP = [32, 34, 36]


@pytest.fixture
def subjects(tmp_path):
    return VirtualSubjects(path=str(tmp_path / "raw"), subjects=2, seed=5, crop=CROP)


def test_a_folder_loads_to_its_path(tmp_path):
    assert RawFolder(path=str(tmp_path)).load() == tmp_path


@pytest.mark.parametrize("path", [None, "", "does/not/exist"])
def test_a_missing_folder_is_refused_with_what_to_do(path):
    with pytest.raises(DatasetError, match=r"expected a folder.*SLICEFILL_RAW"):
        RawFolder(path=path).load()


def test_raw_data_is_never_written(tmp_path):
    with pytest.raises(DatasetError, match="read only"):
        RawFolder(path=str(tmp_path)).save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_virtual_subjects_are_those_of_the_seeds(subjects):
    folder = subjects.load()
    for number in range(2):
        expected = virtual_subject(5 + number, tuple(CROP))
        for kind, volume in (("images", expected.image), ("labels", expected.label)):
            seen = nib.load(folder / kind / f"virtual-{number + 1:02d}.nii.gz")
            np.testing.assert_array_equal(np.asarray(seen.dataobj), volume.stored)
            np.testing.assert_allclose(seen.affine, volume.affine)


def test_subjects_on_disk_are_kept_and_missing_ones_made(subjects):
    folder = subjects.load()
    first, second = (folder / "images" / f"virtual-0{n}.nii.gz" for n in (1, 2))
    before, made_at = second.read_bytes(), first.stat().st_mtime_ns
    second.unlink()
    subjects.load()
    assert second.read_bytes() == before
    assert first.stat().st_mtime_ns == made_at
