"""Nodes that take views: simulated ones, or scans that the manifest groups."""

import hashlib
import logging
from collections.abc import Mapping
from functools import partial

import pandas as pd

from slicefill.fingerprint import fingerprint
from slicefill.ingestion.splits import choose_cases
from slicefill.params.fused_views import FusedViewsParams
from slicefill.simulation.views import Plane, ViewsParams, simulate_view
from slicefill.types import Case, Promise

logger = logging.getLogger(__name__)


def take_views(
    cases: dict[str, Promise],
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    params: FusedViewsParams,
) -> tuple[dict[str, Promise], pd.DataFrame]:
    """Promise the views, as `group/view`: simulated ones, or scans that the manifest groups.

    Returns:
        The promises, and a row per view: `group`, `view`, `subject`, `plane`, the reference first.

    Raises:
        ValueError: If there is no test subject though they are asked for, or no scans are views of
            one object.
    """
    if params.cases == "test" and "test" not in set(splits["split"]):
        msg = "fusion.cases: expected test subjects in the splits, found none; set fusion.cases=all"
        raise ValueError(msg)
    chosen = choose_cases(cases, splits, params.cases)
    return _list_views(chosen, manifest, splits, params)


def take_training_views(
    cases: dict[str, Promise],
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    params: FusedViewsParams,
) -> tuple[dict[str, Promise], pd.DataFrame]:
    """Promise the views that networks learn from and are chosen by, as `take_views`.

    Those of the subjects that are not in the test split; none where nothing is trained.

    Raises:
        ValueError: If no scans of them are views of one object.
    """
    if not params.trains:
        return _list_views({}, manifest, splits, params)
    learning = set(splits.query("split != 'test'")["case"])
    chosen = {case: promise for case, promise in cases.items() if case in learning}
    return _list_views(chosen, manifest, splits, params)


def _list_views(
    chosen: Mapping[str, Promise],
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    params: FusedViewsParams,
) -> tuple[dict[str, Promise], pd.DataFrame]:
    """Promise the views of chosen cases (`take_views`)."""
    from slicefill.views.grouping import COLUMNS, group_scans

    if params.simulate is None:
        own = splits[splits["case"].isin(list(chosen))]
        table = group_scans(manifest, own)
        if chosen:
            _require(table)
            _name_alone(set(chosen) - set(table["view"]))
        pairs = zip(table["group"], table["view"], strict=True)
        return {f"{group}/{view}": chosen[view] for group, view in pairs}, table
    subject = dict(zip(splits["case"], splits["subject"], strict=True))
    planes = params.simulate.planes
    rows = [(case, plane, subject[case], plane) for case in chosen for plane in planes]
    promises = {
        f"{case}/{plane}": _simulated(case, chosen[case], plane, params.simulate, params.seed)
        for case, plane, *_ in rows
    }
    return promises, pd.DataFrame(rows, columns=COLUMNS)


def _require(table: pd.DataFrame) -> None:
    if table.empty:
        msg = (
            "fusion: expected scans that are views of one object, found none among the chosen "
            "cases: set ingestion.views_pattern to what their ids have in common, fusion.cases to "
            "all, or fusion.simulate to take views from isotropic scans"
        )
        raise ValueError(msg)


def _name_alone(cases: set[str]) -> None:
    if cases:
        names = ", ".join(sorted(cases)[:5])
        logger.warning("%d scans are the only view of their object: %s", len(cases), names)


def _simulated(case: str, promise: Promise, plane: Plane, way: ViewsParams, seed: int) -> Promise:
    drawn = hashlib.sha256(f"{seed}/{case}".encode()).digest()
    own = int.from_bytes(drawn[:4], "big")  # whatever the order of the cases
    return Promise(
        partial(_simulate, promise, plane, way, own),
        fingerprint(promise.fingerprint, plane, way, own),
    )


def _simulate(promise: Promise, plane: Plane, params: ViewsParams, seed: int) -> Case:
    return simulate_view(promise.make(), plane, params, seed)
