"""Augmentation nodes: which slices segmentation networks see, and with which weight."""

import logging
from functools import partial
from typing import Any, cast

import pandas as pd

from slicefill.fingerprint import fingerprint
from slicefill.params import AugmentationParams, ComparisonParams
from slicefill.segmentation.scans import Scan, ScanPromise, ScanSet, make_scan
from slicefill.types import Lazy, Promise

logger = logging.getLogger(__name__)


def list_slices(
    thick_cases: dict[str, Promise],
    filled_cases: dict[str, Promise],
    splits: pd.DataFrame,
    params: AugmentationParams,
    comparison: ComparisonParams,
) -> pd.DataFrame:
    """List the slices of every case for every chosen method; no voxel is copied.

    A case that a method could not fill is left out for that method.

    Returns:
        One row per slice: `method`, `engine`, `transforms`, `case`, `split`, `filled` (which
        filled case; empty for acquired slices alone), and what `describe_slices` says.

    Raises:
        ValueError: If there is no case for any method.
    """
    from tqdm.auto import tqdm

    from slicefill.segmentation.slices import describe_slices

    chosen = comparison.chosen
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    listed = splits.loc[splits["case"].isin(list(thick_cases)), ["case", "split"]]
    for case, split in tqdm(listed.to_numpy().tolist(), desc="list", unit="case"):
        thick = thick_cases[case].make()
        for name, method in chosen.items():
            key = f"{method.group}/{case}" if method.group else ""
            if key and key not in filled_cases:
                continue
            filled = filled_cases[key].make() if key else None
            common = {"method": name, "engine": method.engine, "transforms": method.transforms}
            common |= {"case": case, "split": split, "filled": key}
            rows[name] += [common | row for row in describe_slices(thick, filled, params)]
    for name in sorted(name for name, own in rows.items() if not own):
        logger.warning("%s: no case was filled by %s", name, chosen[name].fill)
    if not any(rows.values()):
        msg = "no chosen method has a case: first run: kedro run --pipelines=comparison"
        raise ValueError(msg)
    return pd.DataFrame([row for own in rows.values() for row in own])


def assemble_scans(
    slice_manifest: pd.DataFrame,
    thick_cases: dict[str, Promise],
    filled_cases: dict[str, Promise],
    params: AugmentationParams,
) -> dict[str, ScanSet]:
    """Promise what networks see, by method: put together when it is read, never stored."""
    sets = {}
    for method, own in slice_manifest.groupby("method", sort=False):
        parts: dict[str, dict[str, ScanPromise]] = {"train": {}, "validation": {}, "test": {}}
        grids = {}
        for names, slices in own.groupby(["case", "split", "filled"], sort=False):
            case, split, key = map(str, cast("tuple[str, str, str]", names))
            thick, filled = thick_cases[case], filled_cases[key] if key else None
            weights = slices.sort_values("slice")["weight"].tolist()
            parts[split][case] = _promise_scan(thick, filled, weights, params)
            grids[case] = filled or thick
        engine, transforms = str(own["engine"].iloc[0]), bool(own["transforms"].iloc[0])
        training, validation, test = (parts[x] for x in ("train", "validation", "test"))
        sets[str(method)] = ScanSet(engine, transforms, training, validation, test, grids)
    return sets


def _promise_scan(
    thick: Promise, filled: Promise | None, weights: list[float], params: AugmentationParams
) -> ScanPromise:
    mark = fingerprint(
        thick.fingerprint,
        filled.fingerprint if filled else None,
        weights,
        params.model_dump(include={"trust_threshold", "through_plane", "window"}),
    )
    return Lazy(partial(_make_scan, thick, filled, weights, params), mark)


def _make_scan(
    thick: Promise, filled: Promise | None, weights: list[float], params: AugmentationParams
) -> Scan:
    return make_scan(thick.make(), filled.make() if filled else None, weights, params)
