"""Nodes that register views and fuse them: a promise per group of views and way."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from slicefill.execution.each import prepared
from slicefill.fingerprint import code_fingerprint, fingerprint
from slicefill.params import ImputationParams
from slicefill.params.fused_views import INTERTWINED, FusedMethod, FusedViewsParams, Masks
from slicefill.types import Case, Checkpoint, Finding, Lazy, Models, Prediction, Promise

if TYPE_CHECKING:
    from slicefill.imputation.imputers import Imputer
    from slicefill.plugins import System


def register_groups(
    view_cases: dict[str, Promise],
    view_groups: pd.DataFrame,
    alignment_models: Models,
    intertwined_models: Models,
    params: FusedViewsParams,
) -> dict[str, Lazy[Finding]]:
    """Promise where the views of every group lie, as `registration/group`.

    A registration that learns, and whose training failed, has none.
    """
    code = [code_fingerprint(f"slicefill.{each}") for each in ("registration", "grids", "views")]
    groups = by_group(view_cases, view_groups)
    found = {}
    for name, (entry, model) in _ways(alignment_models, intertwined_models, params).items():
        trained = model()["fingerprint"] if model else None
        for group, views in groups.items():
            own = fingerprint(_of(views), entry, code, trained)
            found[f"{name}/{group}"] = Lazy(partial(_register, views, entry, model), own)
    return found


def _ways(
    models: Models, intertwined: Models, params: FusedViewsParams
) -> dict[str, tuple[dict[str, Any], Callable[[], Checkpoint] | None]]:
    """Registrations that rows use, by name: entry, and what reads a trained network, if any."""
    ways: dict[str, tuple[dict[str, Any], Callable[[], Checkpoint] | None]] = {}
    used = {params.registered_by(m) for m in params.methods.values() if m.views != 1}
    for name, entry in params.registrations.items():
        model = models.get(name)
        if name in used and (model is not None or not params.learns(name)):
            ways[name] = entry, model
    if INTERTWINED in used and INTERTWINED in intertwined:
        entry = params.registrations[params.intertwined.registration]
        ways[INTERTWINED] = entry, partial(_aligner, intertwined[INTERTWINED])
    return ways


def _aligner(read: Callable[[], Checkpoint]) -> Checkpoint:
    from slicefill.views.intertwined.training import aligner_of

    return aligner_of(read())


def _register(
    views: Mapping[str, Promise], entry: dict[str, Any], model: Callable[[], Checkpoint] | None
) -> Finding:
    from slicefill.views.gathering import register_views

    made = {name: promise.make() for name, promise in views.items()}
    return register_views(made, entry, model() if model else None).finding(made)


def fuse_groups(
    view_cases: dict[str, Promise],
    view_groups: pd.DataFrame,
    registrations: dict[str, Lazy[Finding]],
    view_predictions: dict[str, Lazy[Prediction]],
    params: FusedViewsParams,
    imputation: ImputationParams,
    parameters: dict[str, Any],
) -> dict[str, Promise]:
    """Promise the fused case of every group in every way, as `method/group`.

    Raises:
        ValueError: If the grid asked for is `exact`.
    """
    from slicefill.views.gathering import refuse_exact

    refuse_exact(imputation)
    promises = {}
    for name, method in params.methods.items():
        imputer = find_imputer(method.imputed_by, imputation, parameters)
        labelled = with_masks(view_cases, view_predictions, params.masks_of(method))
        for group, views in by_group(labelled, view_groups).items():
            chosen = dict(list(views.items())[: method.views])
            found = registrations.get(f"{params.registered_by(method)}/{group}")
            if found is None and len(chosen) > 1:  # its registration failed
                continue
            own = fingerprint(
                _of(chosen), found.fingerprint if found and len(chosen) > 1 else "",
                imputer.fingerprint, params.of(method), method.images,
                *[code_fingerprint(f"slicefill.{each}") for each in ("views", "fusion", "grids")],
            )  # fmt: skip
            make = partial(_fuse, chosen, found, imputer, imputation, method, params)
            promises[f"{name}/{group}"] = Promise(make, own)
    return promises


def with_masks(
    view_cases: Mapping[str, Promise], predictions: Mapping[str, Lazy[Prediction]], masks: Masks
) -> dict[str, Promise]:
    """Let views come with the label maps that are fused; one without a prediction is left out."""
    if masks == "given":
        return dict(view_cases)
    own = {name: predictions.get(f"{masks}/{name}") for name in view_cases}
    return {
        name: Promise(
            partial(_labelled, view, found), fingerprint(view.fingerprint, found.fingerprint)
        )
        for name, view in view_cases.items()
        if (found := own[name]) is not None
    }


def _labelled(view: Promise, found: Lazy[Prediction]) -> Case:
    return replace(view.make(), label=found.make().label)


def find_imputer(
    name: str, imputation: ImputationParams, parameters: dict[str, Any]
) -> "Lazy[Imputer]":
    """Promise the imputer of an entry of `methods` that needs no training."""
    from slicefill.imputation.methods import find_method

    make = partial(_load, find_method(name, parameters), imputation)
    return Lazy(make, fingerprint(make().fingerprint, imputation))


def _load(system: "System", imputation: ImputationParams) -> "Imputer":
    from slicefill.imputation.imputers import load_imputer

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


def by_group(
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


def _of(views: Mapping[str, Promise]) -> list[tuple[str, str]]:
    """Names and fingerprints in their order: the first view is the reference."""
    return [(name, promise.fingerprint) for name, promise in views.items()]
