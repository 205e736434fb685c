"""Views with their labels on cubes, and labels of cubes back on the grid of a view."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicefill.registration.alignnet.cubes import Cube
from slicefill.registration.alignnet.params import Params as AlignParams
from slicefill.registration.alignnet.training import make_cubes
from slicefill.types import Case, Floats, Volume


@dataclass(frozen=True, eq=False)
class LabelledCube:
    """A view on a cube, and its labels.

    Attributes:
        cube: The view.
        label: Class indices of the nearest slice, `(N, N, N)`, int64.
    """

    cube: Cube
    label: NDArray[np.int64]


def labelled_cubes(
    views: Sequence[Case], params: AlignParams, classes: Sequence[int]
) -> list[LabelledCube]:
    """Put the views of a subject onto cubes, the reference first.

    Args:
        views: With labels.
        params: Size of the cubes.
        classes: Ids in label maps, background first; others become background.

    Raises:
        ValueError: If a view is empty or has no label.
    """
    made = []
    for view, cube in zip(views, make_cubes(views, params), strict=True):
        if view.label is None:
            msg = "intertwined: expected views with label maps to learn from, got one without"
            raise ValueError(msg)
        made.append(LabelledCube(cube, _label(view.label, cube, classes)))
    return made


def _label(label: Volume, cube: Cube, classes: Sequence[int]) -> NDArray[np.int64]:
    import SimpleITK

    from slicefill.io.exchange import to_itk

    source = to_itk(label.with_stored(label.stored.astype(np.int32), None, (1.0, 0.0)))
    placed = _geometry(cube)
    found = SimpleITK.Resample(
        source, placed, SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor, 0.0
    )
    ids = SimpleITK.GetArrayFromImage(found)
    indices = np.zeros(ids.shape, np.int64)
    for index, identity in enumerate(classes):
        indices[ids == identity] = index
    return indices


def to_view(probabilities: Floats, cube: Cube, view: Volume) -> NDArray[np.int64]:
    """Return the class with the greatest probability at every voxel of a view, `(I, J, K)`.

    Args:
        probabilities: On the cube, `(K, N, N, N)`.
        cube: Where it lies.
        view: Whose grid is asked for; outside the cube it is background.
    """
    import SimpleITK

    from slicefill.io.exchange import to_itk

    shape = view.stored.shape[:3]
    grid = to_itk(view.with_stored(np.zeros(shape, np.uint8), None, (1.0, 0.0)))
    placed, sampled = _geometry(cube), []
    for number, each in enumerate(probabilities):
        image = SimpleITK.GetImageFromArray(each)
        image.CopyInformation(placed)
        outside = 1.0 if number == 0 else 0.0
        found = SimpleITK.Resample(
            image, grid, SimpleITK.Transform(), SimpleITK.sitkLinear, outside
        )
        sampled.append(SimpleITK.GetArrayFromImage(found))
    return np.asarray(np.stack(sampled).argmax(0).transpose(2, 1, 0))


def _geometry(cube: Cube) -> Any:
    import SimpleITK

    count = len(cube.image)
    pitch = 2 * cube.half / count
    image = SimpleITK.Image([count] * 3, SimpleITK.sitkUInt8)
    image.SetSpacing([pitch] * 3)
    image.SetOrigin((cube.centre - cube.half + pitch / 2).tolist())
    return image
