"""Views of one subject: thick stacks in three directions, between which the subject moved."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.ndimage import map_coordinates

from slicefill.ingestion.nifti import new_volume
from slicefill.params.base import Params, Positive, Weight
from slicefill.types import Array, Case, Volume

TRUTH = "to_view"
"""Field of a view's record: the true matrix from the reference's world to that of the view."""
Plane = Literal["axial", "coronal", "sagittal"]
_AXES: Mapping[Plane, tuple[int, int, int]] = {
    "axial": (0, 1, 2),
    "coronal": (0, 2, 1),
    "sagittal": (1, 2, 0),
}
"""World axes of rows, columns and slices: a scanner stores the slices last."""
_THICKNESS_SAMPLES = 8  # of a slice that averages over its thickness
Range = tuple[float, float]


class ViewsParams(Params):
    """How views are taken from an isotropic volume; without a word, as in the SuperMask paper."""

    planes: tuple[Plane, ...] = Field(
        ("axial", "coronal", "sagittal"), min_length=1, description="the first is the reference"
    )
    slice_mm: Positive | None = Field(8.0, description="distance of the slices, mm; or factor")
    factor: Positive | None = Field(None, description="the same in voxels of the volume")
    field_mm: Positive | None = Field(
        256.0, description="side of the cube that a view covers; null: the volume's longest side"
    )
    rotation: Weight = Field(45.0, description="degrees: up to so much about each of three axes")
    translation: Weight = Field(30.0, description="mm: up to so much along each of three axes")
    profile: Literal["point", "box"] = Field(
        "point", description="what a slice shows: its middle plane, or the mean of its thickness"
    )
    voxel_offset: Annotated[float, Field(ge=0, le=0.5)] | None = Field(
        0.0,
        description="voxels of the volume, along each axis, that those of the reference lie beside "
        "its own; null: wherever the field puts them",
    )
    gamma: Annotated[Range, Field(description="range of the contrast's exponent")] = (0.8, 1.25)
    gain: Annotated[Range, Field(description="range of the intensities' factor")] = (0.8, 1.25)

    @model_validator(mode="after")
    def _are_told_apart(self) -> Self:
        if len(set(self.planes)) < len(self.planes):
            msg = f"planes: expected each once, got {', '.join(self.planes)}"
            raise ValueError(msg)
        if (self.slice_mm is None) == (self.factor is None):
            msg = f"set one of slice_mm and factor, got {self.slice_mm} and {self.factor}"
            raise ValueError(msg)
        return self


def simulate_views(case: Case, params: ViewsParams, seed: int) -> dict[str, Case]:
    """Take thick stacks of an isotropic volume as a scanner would of a subject who moves.

    A view's header is the frame of the scanner: aligned by headers, views differ by the motion.
    The first view is taken without motion; each of the others after a rotation about the middle
    of the object, by angles about L, A and S in turn, and a translation, all uniform in their
    ranges. The first slice lies up to one distance of slices within the field.

    Args:
        case: Image `(I, J, K)`, isotropic, of any orientation; label or none.
        params: Planes, distances, ranges.
        seed: The same gives the same views.

    Returns:
        Cases by plane, slices last: the image sampled linearly, float32; the label by its nearest
        voxel. The record holds `to_view`, `(4, 4)`, mm: the true matrix from positions in the
        world of the first view to those in the world of this one.
    """
    return {str(plane): simulate_view(case, plane, params, seed) for plane in params.planes}


def simulate_view(case: Case, plane: Plane, params: ViewsParams, seed: int) -> Case:
    """Take one of the stacks that `simulate_views` takes."""
    number, middle = params.planes.index(plane), _middle(case.image)
    rng = np.random.default_rng([seed, number])
    motion, drawn = _motion(middle, params, rng) if number else (np.eye(4), {})
    affine, shape = _grid(case.image, plane, middle, params, rng)
    if number == 0 and params.voxel_offset is not None:
        affine = _beside_voxels(affine, case.image, params.voxel_offset)
    source = np.linalg.inv(motion) @ affine
    image, contrast = _recoloured(_seen(case.image, source, shape, params), params, rng)
    named = None if case.label is None else _named(case.label, source, shape)
    label = None if named is None else new_volume(named, affine)
    record = {"plane": plane, TRUTH: motion.tolist(), "seed": seed, **drawn, **contrast}
    return Case(new_volume(image, affine), label, {}, record)


def rigid_matrix(angles: Array, shift: Array, centre: Array) -> NDArray[np.float64]:
    """Return a rotation about L, then A, then S, around a centre, and a translation, `(4, 4)`.

    Args:
        angles: Degrees, `(3,)`.
        shift: Of the centre, mm, `(3,)`.
        centre: It stays but for the shift, mm, `(3,)`.

    Example:
        >>> rigid_matrix([0, 0, 90], [0, 0, 5], [1, 0, 0])[:3].round(6).tolist()
        [[0.0, -1.0, 0.0, 1.0], [1.0, 0.0, 0.0, -1.0], [0.0, 0.0, 1.0, 5.0]]
    """
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    return np.asarray(nib.affines.from_matvec(turn, np.add(centre, shift) - turn @ centre))


def _middle(image: Volume) -> NDArray[np.float64]:
    """Centre of mass of what is above the lowest intensity, mm, `(3,)`."""
    values = image.intensities().astype(np.float64)
    weights = values - values.min()
    sums = [weights.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3)]
    index = [float((each * np.arange(len(each))).sum() / each.sum()) for each in sums]
    return np.asarray(nib.affines.apply_affine(image.affine, index))


def _motion(
    middle: Array, params: ViewsParams, rng: np.random.Generator
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    angles = rng.uniform(-params.rotation, params.rotation, 3)
    shift = rng.uniform(-params.translation, params.translation, 3)
    drawn = {"angles_degrees": angles.tolist(), "shift_mm": shift.tolist()}
    return rigid_matrix(angles, shift, middle), drawn


def _grid(
    image: Volume, plane: Plane, middle: Array, params: ViewsParams, rng: np.random.Generator
) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Voxel to the scanner's world of a stack whose slices come last, and its shape."""
    pixel = float(image.spacing.min())
    distance = params.slice_mm or float(params.factor or 1) * pixel
    field = params.field_mm or float((image.spacing * image.stored.shape[:3]).max())
    pitch = np.array([pixel, pixel, distance])
    shape = np.maximum(1, np.floor(field / pitch + 1e-6)).astype(int)
    directions = np.eye(3)[:, _AXES[plane]]
    first = -(shape - 1) / 2 * pitch
    first[2] = -field / 2 + rng.uniform(0, distance)
    affine = nib.affines.from_matvec(directions * pitch, middle + directions @ first)
    return np.asarray(affine), tuple(map(int, shape))


def _beside_voxels(affine: Array, image: Volume, offset: float) -> NDArray[np.float64]:
    """Move a grid by less than a voxel, its first voxel beside one by an offset; 0: onto it."""
    first = np.linalg.inv(image.affine) @ affine[:, 3]
    moved = affine.copy()
    moved[:, 3] = image.affine @ [*(np.rint(first[:3]) + offset), 1.0]
    return np.asarray(moved)


def _seen(image: Volume, affine: Array, shape: tuple[int, ...], params: ViewsParams) -> Array:
    """Intensities of a stack's voxels, linear; where there is no volume, its lowest."""
    values = image.intensities()
    samples = 1 if params.profile == "point" else _THICKNESS_SAMPLES
    total: Array = np.zeros(shape)
    for offset in (np.arange(samples) + 0.5) / samples - 0.5:
        places = _places(image, affine, shape, float(offset))
        total += map_coordinates(values, places, order=1, cval=float(values.min()))
    return np.asarray(total / samples)


def _named(label: Volume, affine: Array, shape: tuple[int, ...]) -> Array:
    places = np.rint(_places(label, affine, shape))
    return np.asarray(map_coordinates(label.stored, places, order=0, cval=0))


def _places(source: Volume, affine: Array, shape: tuple[int, ...], offset: float = 0.0) -> Array:
    """Indices in a volume of the voxels of a stack, `(3, *shape)`; its slices moved by a share."""
    index_map = np.linalg.inv(source.affine) @ affine
    voxels = np.indices(shape, dtype=np.float64)
    voxels[2] += offset
    turned = np.tensordot(index_map[:3, :3], voxels, 1)
    return np.asarray(turned + index_map[:3, 3, None, None, None])


def _recoloured(
    image: Array, params: ViewsParams, rng: np.random.Generator
) -> tuple[Array, dict[str, Any]]:
    """Give a view a contrast of its own, as scanners set it for every acquisition."""
    gamma, gain = rng.uniform(*params.gamma), rng.uniform(*params.gain)
    low, high = float(image.min()), float(image.max())
    width = max(high - low, float(np.finfo(np.float32).tiny))
    shown = low + gain * width * ((image - low) / width) ** gamma
    return shown.astype(np.float32), {"gamma": float(gamma), "gain": float(gain)}
