"""Series with absent slices: imputed from the acquired slices alone, at their true positions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slicefill.geometry import slices_back, slices_first
from slicefill.imputation.exact_grid import Impute, impute_at, refuse_coarse
from slicefill.imputation.grids import across_series, exact_places, slices_per_interval
from slicefill.imputation.orthogonal import resample_filled
from slicefill.ingestion.checks import BadCase
from slicefill.params import ImputationParams
from slicefill.types import Case, Volume


def impute_absent(case: Case, impute: Impute, params: ImputationParams) -> Case:
    """Impute a case of which some slices are absent onto the grid that is asked for.

    Every interval between two acquired slices, however wide, is imputed at the positions at which
    slices of that grid fall into it. What an absent slice holds in the case is not looked at.

    Args:
        case: With `absent` slices; the first and the last are acquired.
        impute: As for `impute_exactly`.
        params: The grid wanted: as if no slice were absent.

    Returns:
        As `impute_case` of the whole series; in its record, `acquired` and `between` count all of
        its slices, absent ones too, which are none of them.

    Raises:
        BadCase: If slices across another axis, an orthogonal grid, or slices two steps of the
            series apart or more are asked for.
    """
    axis, params = Case.ACROSS, _across(case, params)
    kept = [k for k in range(case.image.stored.shape[axis]) if k not in case.absent]
    spacing = float(case.image.spacing[axis])
    exact = params.exact and params.target_spacing is not None
    count = 0 if exact else slices_per_interval(case.image.spacing, axis, params)
    target = float(params.target_spacing or 0) if exact else spacing / (count + 1)
    refuse_coarse(spacing, target)
    wanted = _wanted(kept[-1], count, target / spacing if exact else None)
    places = np.interp(wanted, kept, np.arange(len(kept)))
    made = impute_at(_kept(case, kept), impute, params, places=places, spacing=target, at=kept)
    slices = [_renumbered(one, kept) for one in made.record["slices"]]
    grid = {"exact": True, "count": None} if exact else {"count": count}
    return replace(made, record={**made.record, **grid, "slices": slices})


def _across(case: Case, params: ImputationParams) -> ImputationParams:
    own = across_series(case)
    if params.orthogonal or params.through_plane not in ("auto", own):
        leave = f"leave --orthogonal and --axis out (in a Kedro run --params axis={own})"
        raise BadCase(
            expected=f"a series with absent slices imputed across its slices ({own})",
            found="an orthogonal grid asked for"
            if params.orthogonal
            else f"the axis {params.through_plane}",
            remedy=f"{leave}; {resample_filled(case)}" if params.orthogonal else leave,
        )
    return params.model_copy(update={"through_plane": own})


def longest_stack(case: Case) -> Case:
    """Return the longest run of acquired slices of a case, which lie at even steps, to learn from.

    A case of which no slice is absent is returned as it is.
    """
    if not case.absent:
        return case
    acquired = np.setdiff1d(np.arange(case.image.stored.shape[Case.ACROSS]), case.absent)
    runs = np.split(acquired, np.flatnonzero(np.diff(acquired) > 1) + 1)
    return replace(_kept(case, max(runs, key=len)), record={})


def _wanted(last: int, count: int, step: float | None) -> NDArray[np.float64]:
    """Where slices are wanted, in steps of the series."""
    if step is None:
        return np.arange(last * (count + 1) + 1) / (count + 1)
    return exact_places(last + 1, step)


def _kept(case: Case, kept: Sequence[int] | NDArray[np.int64]) -> Case:
    """Return the acquired slices of a case, side by side."""

    def take(volume: Volume) -> Volume:
        slices = slices_first(volume.stored, Case.ACROSS)[list(kept)]
        return volume.with_stored(slices_back(slices, Case.ACROSS))

    label = None if case.label is None else take(case.label)
    return Case(take(case.image), label, record=case.record)


def _renumbered(entry: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    """Count the slices of the whole series in an entry of a record."""
    if "acquired" in entry:
        return {**entry, "acquired": kept[entry["acquired"]]}
    return {**entry, "between": [kept[k] for k in entry["between"]]}
