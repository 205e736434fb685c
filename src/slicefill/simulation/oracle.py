"""The oracle: removed slices put back, as a perfect imputation of a subsampled scan would."""

from typing import Any

import numpy as np

from slicefill.geometry import slices_back, slices_first
from slicefill.params import ORACLE
from slicefill.types import Case, Volume


def restore_slices(isotropic: Case, acquired: Case) -> Case:
    """Return the true slices from the first acquired one to the last.

    Args:
        isotropic: The case before slices were removed.
        acquired: The same case after `subsample`.

    Returns:
        Laid out as an imputed case: with its maps, confidence 1 throughout, and a record that says
        so (`method: oracle`, `acquired_slices: true`).

    Raises:
        ValueError: If no slice was removed.
    """
    record = acquired.record
    if record.get("factor", 1) == 1:
        msg = (
            "oracle: expected a scan whose slices were removed (anisotropization.factor above 1), "
            "got one as it was acquired: nobody knows its true slices; choose another method"
        )
        raise ValueError(msg)
    axis, end = int(record["axis"]), int(record["kept"][-1]) + 1
    image = _first(isotropic.image, axis, end)
    kept = np.isin(np.arange(end), record["kept"])
    shape = slices_first(image.stored, axis).shape[:3]
    synthetic = np.broadcast_to(~kept[:, None, None], shape).astype(np.uint8)
    maps = {"synthetic_mask": synthetic, "confidence": np.ones(shape, np.uint8)}
    return Case(
        image,
        None if isotropic.label is None else _first(isotropic.label, axis, end),
        {name: _map(image, each, axis) for name, each in maps.items()},
        {**_record(axis, int(record["factor"]), kept), "source": dict(record)},
    )


def _first(volume: Volume, axis: int, end: int) -> Volume:
    return volume.with_stored(slices_back(slices_first(volume.stored, axis)[:end], axis).copy())


def _map(image: Volume, slices: Any, axis: int) -> Volume:
    return image.with_stored(slices_back(slices, axis).copy(), slope_intercept=(1.0, 0.0))


def _record(axis: int, factor: int, kept: Any) -> dict[str, Any]:
    slices = [
        {"index": k, "acquired": k // factor}
        if there
        else {"index": k, "between": [k // factor, k // factor + 1], "t": k % factor / factor}
        for k, there in enumerate(kept)
    ]
    return {
        "axis": axis,
        "count": factor - 1,
        "method": ORACLE,
        "acquired_slices": "true",
        "labels": "true",
        "slices": slices,
    }
