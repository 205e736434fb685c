"""Nodes that take views, register them and fuse them: a promise per group of views and way."""

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from slicefill.execution.each import prepared
from slicefill.fingerprint import code_fingerprint, fingerprint
from slicefill.ingestion.splits import choose_cases
from slicefill.params import ImputationParams
from slicefill.params.fused_views import FusedMethod, FusedViewsParams
from slicefill.simulation.views import ViewsParams
from slicefill.types import Case, Finding, Lazy, Promise

if TYPE_CHECKING:
    from slicefill.imputation.impute import Imputer
    from slicefill.plugins import System


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
        ValueError: If no scans are views of one object.
    """
    from slicefill.views.grouping import COLUMNS, group_scans

    chosen = choose_cases(cases, splits, params.cases)
    if params.simulate is None:
        own = splits[splits["case"].isin(list(chosen))]
        table = group_scans(manifest, own)
        _require(table)
        pairs = zip(table["group"], table["view"], strict=True)
        return {f"{group}/{view}": cases[view] for group, view in pairs}, table
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


def _simulated(case: str, promise: Promise, plane: str, way: ViewsParams, seed: int) -> Promise:
    drawn = hashlib.sha256(f"{seed}/{case}".encode()).digest()
    own = int.from_bytes(drawn[:4], "big")  # whatever the order of the cases
    return Promise(
        partial(_simulate, promise, plane, way, own),
        fingerprint(promise.fingerprint, plane, way, own),
    )


def _simulate(promise: Promise, plane: str, params: ViewsParams, seed: int) -> Case:
    from slicefill.simulation.views import simulate_views

    return simulate_views(promise.make(), params, seed)[plane]


def register_groups(
    view_cases: dict[str, Promise], view_groups: pd.DataFrame, params: FusedViewsParams
) -> dict[str, Lazy[Finding]]:
    """Promise where the views of every group lie, as `registration/group`."""
    used = {m.registration for m in params.methods.values() if m.views != 1}
    code = code_fingerprint("slicefill.registration")
    return {
        f"{name}/{group}": Lazy(
            partial(_register, views, entry), fingerprint(_of(views), entry, code)
        )
        for name, entry in params.registrations.items()
        if name in used
        for group, views in _by_group(view_cases, view_groups).items()
    }


def _register(views: Mapping[str, Promise], entry: dict[str, Any]) -> Finding:
    from slicefill.views.gathering import register_views

    made = {name: promise.make() for name, promise in views.items()}
    return register_views(made, entry).finding(made)


def fuse_groups(
    view_cases: dict[str, Promise],
    view_groups: pd.DataFrame,
    registrations: dict[str, Lazy[Finding]],
    params: FusedViewsParams,
    imputation: ImputationParams,
    parameters: dict[str, Any],
) -> dict[str, Promise]:
    """Promise the fused case of every group in every way, as `method/group`."""
    promises = {}
    for name, method in params.methods.items():
        imputer = _imputer(method, imputation, parameters)
        for group, views in _by_group(view_cases, view_groups).items():
            chosen = dict(list(views.items())[: method.views])
            found = registrations.get(f"{method.registration}/{group}")
            if found is None and len(chosen) > 1:  # its registration failed
                continue
            own = fingerprint(
                _of(chosen), found.fingerprint if found and len(chosen) > 1 else "",
                imputer.fingerprint, params.of(method), method.images,
                *[code_fingerprint(f"slicefill.{each}") for each in ("views", "fusion")],
            )  # fmt: skip
            make = partial(_fuse, chosen, found, imputer, imputation, method, params)
            promises[f"{name}/{group}"] = Promise(make, own)
    return promises


def _imputer(
    method: FusedMethod, imputation: ImputationParams, parameters: dict[str, Any]
) -> "Lazy[Imputer]":
    from slicefill.imputation.methods import find_method

    make = partial(_load, find_method(method.imputed_by, parameters), imputation)
    return Lazy(make, fingerprint(make().fingerprint, imputation))


def _load(system: "System", imputation: ImputationParams) -> "Imputer":
    from slicefill.imputation.impute import load_imputer

    return load_imputer(system, None, imputation)


def _fuse(
    views: Mapping[str, Promise],
    found: Lazy[Finding] | None,
    imputer: "Lazy[Imputer]",
    imputation: ImputationParams,
    method: FusedMethod,
    params: FusedViewsParams,
) -> Case:
    from slicefill.views.fuse import fuse_gathered
    from slicefill.views.gathering import Registered, gather_views

    made = {name: promise.make() for name, promise in views.items()}
    registered = Registered(next(iter(made)), {}, {})
    if found is not None and len(made) > 1:
        registered = Registered.found(found.make())
    own = params.of(method)
    gathered = gather_views(made, registered, prepared(imputer), imputation, own)
    return fuse_gathered(gathered, own, images=method.images)


def _by_group(
    view_cases: Mapping[str, Promise], view_groups: pd.DataFrame
) -> dict[str, dict[str, Promise]]:
    """Views by group, the reference first; a group whose reference failed is left out."""
    groups: dict[str, dict[str, Promise]] = {}
    for group, rows in view_groups.groupby("group", sort=False):
        names = list(rows["view"])
        there = {name: view_cases.get(f"{group}/{name}") for name in names}
        if there[names[0]] is not None:
            groups[str(group)] = {name: view for name, view in there.items() if view is not None}
    return groups


def _of(views: Mapping[str, Promise]) -> dict[str, str]:
    return {name: promise.fingerprint for name, promise in views.items()}
