"""Views as AlignNet sees them: cubes of cubic voxels along the axes of the world."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slicefill.grids.cubic import see
from slicefill.types import Case, Floats

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cube:
    """A view on a cube.

    Attributes:
        image: In [0, 1], `(N, N, N)`, z first, as ITK hands it out.
        field: 1 in the field of the view, else 0, of the same shape, uint8.
        centre: Of the cube, mm, LPS, `(3,)`.
        half: Half its side, mm.
    """

    image: Floats
    field: NDArray[np.uint8]
    centre: NDArray[np.float64]
    half: float


def make_cube(
    view: Case, side_mm: float, pitch_mm: float, centre: NDArray[np.float64] | None = None
) -> Cube:
    """Resample a view onto a cube.

    Args:
        view: As for every registration.
        side_mm: Side of the cube.
        pitch_mm: Of its voxels.
        centre: Of the cube, mm, LPS; None: the centre of mass of the view.

    Raises:
        ValueError: If there is nothing in the view.
    """
    import SimpleITK

    seen = see(view, "image")
    count = round(side_mm / pitch_mm)
    middle = seen.centre if centre is None else centre
    start = (middle - (count - 1) / 2 * pitch_mm).tolist()
    shown = seen.image
    if pitch_mm > seen.pitch:
        shown = SimpleITK.SmoothingRecursiveGaussian(shown, pitch_mm / 2)
    field = SimpleITK.Image(seen.image.GetSize(), SimpleITK.sitkUInt8) + 1
    field.CopyInformation(seen.image)
    grid = [count] * 3, SimpleITK.Transform()
    placed = start, [pitch_mm] * 3, np.eye(3).ravel().tolist(), 0.0
    image = SimpleITK.Resample(shown, *grid, SimpleITK.sitkLinear, *placed, SimpleITK.sitkFloat32)
    inside = SimpleITK.Resample(
        field, *grid, SimpleITK.sitkNearestNeighbor, *placed, SimpleITK.sitkUInt8
    )
    values = np.clip(SimpleITK.GetArrayFromImage(image), 0, 1)
    return Cube(values, SimpleITK.GetArrayFromImage(inside), middle, count * pitch_mm / 2)


def to_world(matrix: Matrix, fixed: Cube, moving: Cube) -> Matrix:
    """Return what a matrix between cubes is between worlds in RAS, `(4, 4)`, mm."""
    from slicefill.ingestion.itk import LPS_TO_RAS

    lps = _out_of(moving) @ matrix @ np.linalg.inv(_out_of(fixed))
    return np.asarray(LPS_TO_RAS @ lps @ LPS_TO_RAS)


def from_world(matrix: Matrix, fixed: Cube, moving: Cube) -> Matrix:
    """Return what a matrix between worlds is between cubes; undoes `to_world`."""
    from slicefill.ingestion.itk import LPS_TO_RAS

    lps = LPS_TO_RAS @ matrix @ LPS_TO_RAS
    return np.asarray(np.linalg.inv(_out_of(moving)) @ lps @ _out_of(fixed))


def _out_of(cube: Cube) -> Matrix:
    """From normalised coordinates to the world, LPS."""
    out = np.diag([cube.half] * 3 + [1.0])
    out[:3, 3] = cube.centre
    return out
