import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from slicefill.api import impute
from slicefill.command_line import main
from slicefill.geometry import shear
from slicefill.imputation.orthogonal import is_refused_by_itk, orthogonalise
from slicefill.io.case_folder import write_volume
from slicefill.types import Case

TURN = nib.eulerangles.euler2mat(0.3, -0.2, 0.4)


def tilted(degrees, turn=TURN):
    """Voxels of 1 x 1 x 4 mm whose slices are shifted along the second axis, as by a gantry."""
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    affine[1, 2] = 4 * np.tan(np.radians(degrees))
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = [-20, 11, 5]
    return affine


def field(places):
    """A linear function of the place in the world, mm."""
    return 500 + places @ np.array([3.0, -2.0, 5.0])


@pytest.fixture
def scan(volume):
    """A tilted scan of a linear field, and a label of its first 8 rows."""

    def make(degrees=20, axis=2):
        order = [0, 1]
        order.insert(axis, 2)
        affine = tilted(degrees)
        stored = field(nib.affines.apply_affine(affine, np.moveaxis(np.indices((14, 16, 7)), 0, 3)))
        affine = affine.copy()
        affine[:, :3] = affine[:, order]
        label = np.zeros(stored.shape, np.uint8)
        label[:8] = 1
        parts = (stored.astype(np.float32), label)
        return Case(*(volume(p.transpose(order), affine, codes=(1, 0)) for p in parts))

    return make


@pytest.mark.parametrize("degrees", [20, -12])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_linear_field_stays_where_it_is(scan, degrees, axis):
    source = scan(degrees, axis)
    made = orthogonalise(source, "auto")
    assert shear(made.image.affine) < 1e-6
    pitches = np.ones(3)
    pitches[axis] = 4  # the distance of the planes
    np.testing.assert_allclose(made.image.spacing, pitches, atol=1e-5)
    assert made.image.stored.shape[axis] == 7  # slices stay in their planes
    grid = np.moveaxis(np.indices(made.image.stored.shape), 0, 3)
    expected = field(nib.affines.apply_affine(made.image.affine, grid))
    to_old = np.linalg.inv(source.image.affine) @ made.image.affine
    before, last = nib.affines.apply_affine(to_old, grid), np.array(source.image.stored.shape) - 1
    inside = ((before > -1e-4) & (before < last + 1e-4)).all(axis=-1)
    np.testing.assert_allclose(made.image.stored[inside], expected[inside], rtol=1e-3)
    assert np.count_nonzero(inside) > 0.9 * 14 * 15 * 7
    assert set(np.unique(made.label.stored)) == {0, 1}
    assert np.count_nonzero(made.label.stored) == pytest.approx(8 * 16 * 7, rel=0.1)


def test_every_corner_of_the_scan_is_inside(scan):
    source = scan(20)
    made = orthogonalise(source, "auto")
    ends = np.array([[i, j, k] for i in (0, 13) for j in (0, 15) for k in (0, 6)])
    to_new = np.linalg.inv(made.image.affine) @ source.image.affine
    places = nib.affines.apply_affine(to_new, ends)
    assert (places > -0.01).all()
    assert (places < np.array(made.image.stored.shape) - 0.99).all()


def test_axes_at_right_angles_are_left_alone(case):
    source = case()
    assert orthogonalise(source, "auto") is source


@pytest.mark.parametrize("degrees", [0.0, 0.001, 0.05, 1.0, 20.0])
def test_what_is_announced_is_what_itk_cannot_open(scan, tmp_path, degrees):
    source = scan(degrees).image
    write_volume(source, tmp_path / "scan.nii.gz")
    if is_refused_by_itk(source):
        with pytest.raises(RuntimeError, match="orthonormal"):
            SimpleITK.ReadImage(str(tmp_path / "scan.nii.gz"))
    else:
        assert degrees < 0.05
        SimpleITK.ReadImage(str(tmp_path / "scan.nii.gz"))


def test_the_command_announces_and_mends_a_sheared_grid(scan, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_volume(scan().image, tmp_path / "tilted.nii.gz")
    options = ["--method", "linear", "--count", "2"]
    assert main(["impute", "tilted.nii.gz", *options]) == 0
    assert "ITK-SNAP, 3D Slicer and nnU-Net cannot open it" in capsys.readouterr().out
    assert main(["verify", "tilted_isotropic.nii.gz", "--against", "tilted.nii.gz"]) == 0
    straight = ["impute", "tilted.nii.gz", "straight.nii.gz", *options, "--orthogonal"]
    capsys.readouterr()
    assert main(straight) == 0
    assert "cannot open" not in capsys.readouterr().out
    assert SimpleITK.ReadImage("straight.nii.gz").GetSize()[2] == 19
    assert main(["verify", "straight.nii.gz", "--against", "tilted.nii.gz"]) == 0
    out = capsys.readouterr().out
    assert "changed  straight.nii.gz" in out
    assert "0 of 1 cases ok, 1 not comparable" in out


def test_python_callers_read_it_in_the_record(scan):
    source = scan()
    made = impute(source, method="linear", count=1, orthogonal=True)
    assert made.record["acquired_slices"] == "resampled"
    assert made.record["parameters"]["orthogonal"] is True
    assert impute(source, method="linear", count=1).record["acquired_slices"] == "kept"
