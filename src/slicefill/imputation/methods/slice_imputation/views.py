"""Views are the slice sequences of a case that training groups are drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from slicefill.geometry import adaptive_count, anisotropy, through_plane_axis
from slicefill.imputation.dense_grid import stack_case
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.params.base import AxisName
from slicefill.training.cache import BoundedCache
from slicefill.types import Array, Case, Floats, Promise, Stack

THROUGH_PLANE = "through_plane"
_IN_PLANE = ("rows", "columns")


@dataclass(frozen=True, eq=False)
class View:
    """A sequence of slices of one case.

    Attributes:
        slices: `(S, C, h, w)`, intensities in [0, 1].
        shows_object: `(S,)`, 1 where the label map has an object, 0 where not, nan without one.
        occupied: `(S,)`, whether the slice shows more than background.
        high: Their high frequencies, of the whole volume; None where nothing asks for them.
        sigma: Standard deviation of the low-pass that these are above, pixels of a slice.
        factor: In-plane, slices of this view from one acquired slice to the next when the method is
            used; across slices N_A + 1, eq. (20).
    """

    slices: Floats
    shows_object: Floats
    occupied: Array
    factor: int
    high: Floats | None = None
    sigma: float = 0.0


def kind_of(view: str) -> str:
    """Return the kind of a view by its name: `in_plane` (rows and columns) or `through_plane`."""
    return "in_plane" if view in _IN_PLANE else view


def cut_views(case: Case, axis_name: AxisName, params: SynthesisParams) -> dict[str, View]:
    """Cut an anisotropic case into slice sequences.

    `through_plane` is what the paper trains on: acquired slices, whose groups lie N + 1 slice
    spacings apart. `rows` and `columns` cut the volume, linearly interpolated across slices,
    along its in-plane axes: full resolution there gives true slices between two that are as
    far apart as acquired slices are in use.
    """
    axis = through_plane_axis(case.image.affine, axis_name)
    stack = stack_case(case, axis, params.window)
    factor = params.groups.in_plane_factor or max(1, round(anisotropy(case.image.spacing, axis)))
    cutoff = params.cutoff * factor
    views = {}
    if params.groups.through_plane > 0:
        apart = adaptive_count(case.image.spacing, axis) + 1
        view = _view(stack.normalised(), stack.label, apart)
        views[THROUGH_PLANE] = _above(view, (params.cutoff, cutoff, cutoff))
    if params.groups.in_plane > 0 and factor > 1:
        cut = _in_plane_views(stack, factor)
        views |= {name: _above(view, (cutoff,) * 3) for name, view in cut.items()}
    return views


def _above(view: View, sigma: tuple[float, float, float]) -> View:
    """Add the high frequencies: what a low-pass along slices, rows and columns does not pass."""
    if not any(sigma):
        return view
    low = gaussian_filter(view.slices, (sigma[0], 0, *sigma[1:]), mode="nearest")
    return replace(view, high=view.slices - low, sigma=sigma[-1])


def _in_plane_views(stack: Stack, factor: int) -> dict[str, View]:
    depth = (len(stack.image) - 1) * factor + 1
    slices = stack.normalised()
    scale = (depth / len(slices), 1, 1, 1)
    dense = zoom(slices, scale, order=1, grid_mode=False)
    label = stack.label
    rows = None if label is None else np.moveaxis(label, 1, 0)
    columns = None if label is None else np.moveaxis(label, 2, 0)
    return {
        "rows": _view(dense.transpose(2, 1, 0, 3), rows, factor),
        "columns": _view(dense.transpose(3, 1, 0, 2), columns, factor),
    }


def _view(slices: Floats, label: Array | None, factor: int) -> View:
    shown = np.full(len(slices), np.nan, np.float32)
    if label is not None:
        shown[:] = label.any(axis=(1, 2))
    return View(slices, shown, slices.max(axis=(1, 2, 3)) > 0.1, factor)


class ViewCache(BoundedCache[dict[str, View]]):
    """Views of cases, read when needed; the least recently used go when memory is full."""

    def __init__(
        self, cases: Mapping[str, Promise], axis_name: AxisName, params: SynthesisParams
    ) -> None:
        self._cases = cases
        super().__init__(
            lambda case: cut_views(cases[case].make(), axis_name, params),
            _bytes,
            params.groups.cache_gb,
        )

    @property
    def channels(self) -> int:
        """Image channels of the first case; all cases must have as many."""
        views = self[min(self._cases)]
        return int(next(iter(views.values())).slices.shape[1])


def _bytes(views: Mapping[str, View]) -> int:
    """Memory of the views of a case; rows and columns share one array of slices."""
    shared = sum({view.slices.size: view.slices.nbytes for view in views.values()}.values())
    return shared + sum(0 if view.high is None else view.high.nbytes for view in views.values())
