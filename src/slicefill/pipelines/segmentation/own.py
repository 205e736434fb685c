"""Nodes of the pipeline `segmentation`: one network on acquired slices, every scan segmented."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from slicefill.execution.each import prepared
from slicefill.fingerprint import fingerprint
from slicefill.params import (
    ACQUIRED_ONLY,
    AugmentationParams,
    ComparisonParams,
    ImputationParams,
    SegmentationParams,
)
from slicefill.pipelines.augmentation.nodes import assemble_scans, list_slices
from slicefill.pipelines.imputation.stand_in import training_command
from slicefill.segmentation.scans import ScanSet
from slicefill.types import Checkpoint, Lazy, Models, Prediction, Promise

if TYPE_CHECKING:
    from slicefill.imputation.imputers import Imputer
    from slicefill.segmentation.opened import Opened


@dataclass(frozen=True)
class _Ready:
    """What segments scans: a network, and, for isotropic labels, a method."""

    network: "Opened"
    imputer: "Imputer | None"


def assemble_acquired(
    acquired_cases: dict[str, Promise],
    splits: pd.DataFrame,
    augmentation: AugmentationParams,
    comparison: ComparisonParams,
    params: SegmentationParams,
) -> dict[str, ScanSet]:
    """Promise the acquired slices that the network learns from; none for one that is trained.

    It is the network of the row `none` of a comparison with the engine of the preset.
    """
    if params.network is not None:
        return {}
    engine = comparison.presets[comparison.preset].engine
    alone = {
        "title": "acquired slices",
        "engine": engine,
        "methods": [ACQUIRED_ONLY],
        "reference": ACQUIRED_ONLY,
    }
    values = comparison.model_dump() | {"preset": "own", "presets": {"own": alone}}
    rows = ComparisonParams.model_validate(values)
    manifest = list_slices(acquired_cases, {}, splits, augmentation, rows)
    return assemble_scans(manifest, acquired_cases, {}, augmentation)


def segment_scans(
    acquired_cases: dict[str, Promise],
    acquired_scans: dict[str, ScanSet],
    segmentation_models: Models,
    models: Models,
    params: SegmentationParams,
    imputation: ImputationParams,
    parameters: dict[str, Any],
) -> dict[str, Lazy[Prediction]]:
    """Promise the segmentation of every scan, as `acquired/case` or `isotropic/case`.

    By `segmentation.network`, or the first seed of the network that this run has trained.

    Raises:
        ValueError: If the training failed, there is no such network, or no such method.
    """
    network = _find_network(acquired_scans, segmentation_models, params)
    prepare = partial(_prepare, network, models, params, imputation, parameters)
    own = prepare()  # what cannot be prepared is refused now, not case by case
    mark = [own.network.fingerprint, params.output, params.inference]
    if own.imputer is not None:
        mark += [own.imputer.fingerprint, imputation.decisive]
    ready = Lazy(prepare, fingerprint(*mark, params.hardware))
    return {
        f"{params.output}/{case}": Lazy(
            partial(_segment, ready, imputation, promise), fingerprint(promise.fingerprint, *mark)
        )
        for case, promise in acquired_cases.items()
    }


def _find_network(
    scans: Mapping[str, ScanSet], models: Models, params: SegmentationParams
) -> Checkpoint:
    from slicefill.segmentation.opened import read_network

    if params.network is not None:
        return read_network(params.network)
    (own,) = scans.values()
    name = f"{own.network}/{own.engine}_{params.seeds[0]}"
    if name not in models:
        msg = (
            f"segmentation: expected the network {name}, but its training failed (see above): "
            "label the scans of the training split, or set segmentation.network to a trained one"
        )
        raise ValueError(msg)
    return models[name]()


def _prepare(
    checkpoint: Checkpoint,
    models: Models,
    params: SegmentationParams,
    imputation: ImputationParams,
    parameters: Mapping[str, Any],
) -> _Ready:
    """Make network and method ready, in whichever process segments."""
    from slicefill.imputation.imputers import load_imputer
    from slicefill.imputation.methods import find_method
    from slicefill.segmentation.opened import open_network

    network = open_network(checkpoint, params.inference, params.hardware)
    if params.output == "acquired":
        return _Ready(network, None)
    system, read = find_method(params.imputed_by, parameters), models.get(params.imputed_by)
    if system.has("train") and read is None:
        msg = (
            f"segmentation.imputed_by: {params.imputed_by!r} is not trained: train it with "
            f"`{training_command(params.imputed_by, parameters)}`, or set it to pretrained"
        )
        raise ValueError(msg)
    return _Ready(network, load_imputer(system, read() if read else None, imputation))


def _segment(ready: "Lazy[_Ready]", imputation: ImputationParams, promise: Promise) -> Prediction:
    from slicefill.segmentation.isotropic import segment_acquired, segment_isotropically

    own = prepared(ready)
    if own.imputer is None:
        return segment_acquired(promise.make(), own.network)
    return segment_isotropically(promise.make(), own.network, own.imputer, imputation)
