"""Nodes that learn from views of training subjects: networks that segment, and that register."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from slicefill import tracking
from slicefill.datasets.checkpoints import StateFiles
from slicefill.execution.each import prepared
from slicefill.fingerprint import fingerprint
from slicefill.params import AugmentationParams, ImputationParams, SegmentationParams
from slicefill.params.fused_views import INTERTWINED, FusedViewsParams
from slicefill.pipelines.fusion.nodes import by_group, find_imputer
from slicefill.segmentation.scans import Scan, ScanPromise, ScanSet
from slicefill.types import Case, Checkpoint, Lazy, ModelPromise, Models, Promise

if TYPE_CHECKING:
    from slicefill.imputation.imputers import Imputer
    from slicefill.plugins import System

NETWORK = "views"
"""Name of the network that segments views, and of its scans."""


def assemble_view_scans(
    training_views: dict[str, Promise],
    training_groups: pd.DataFrame,
    splits: pd.DataFrame,
    params: FusedViewsParams,
    augmentation: AugmentationParams,
    imputation: ImputationParams,
    parameters: dict[str, Any],
) -> dict[str, ScanSet]:
    """Promise the views as the network sees them; nothing where none is trained."""
    own = params.segmenter
    if own.network is not None or not params.fuses("network", INTERTWINED):
        return {}
    filled = find_imputer(own.filled_by, imputation, parameters) if own.filled_by else None
    split = dict(zip(splits["subject"], splits["split"], strict=True))
    parts: dict[str, dict[str, ScanPromise]] = {"train": {}, "validation": {}}
    for row in training_groups.itertuples():
        name = f"{row.group}/{row.view}"
        if name in training_views:
            view = training_views[name]
            seen = augmentation.model_dump(
                include={"confidence_threshold", "through_plane", "window"}
            )
            mark = fingerprint(view.fingerprint, filled.fingerprint if filled else None, seen)
            make = partial(_make_scan, view, filled, augmentation, imputation)
            parts[split[row.subject]][name] = ScanPromise(make, mark)
    subject = {f"{row.group}/{row.view}": str(row.subject) for row in training_groups.itertuples()}
    return {
        NETWORK: ScanSet(
            own.engine, True, parts["train"], parts["validation"], {}, {}, NETWORK, subject=subject
        )
    }


def _make_scan(
    view: Promise,
    filled: "Lazy[Imputer] | None",
    augmentation: AugmentationParams,
    imputation: ImputationParams,
) -> Scan:
    from slicefill.imputation.impute import impute_case
    from slicefill.segmentation.scans import make_scan

    case = view.make()
    imputed = impute_case(case, prepared(filled), imputation) if filled else None
    return make_scan(case, imputed, None, augmentation)


def find_network(
    models: Models, params: FusedViewsParams, segmentation: SegmentationParams
) -> Checkpoint:
    """Return the network that segments views: one that is given, or what was trained on them.

    Raises:
        ValueError: If its training failed, or it cannot be read.
    """
    from slicefill.segmentation.opened import read_network

    own = params.segmenter
    if own.network is not None:
        return read_network(own.network)
    name = f"{NETWORK}/{own.engine}_{segmentation.seeds[0]}"
    if name not in models:
        msg = (
            f"fusion: expected the network {name}, but its training failed (see above): label the "
            "views of training subjects, or set fusion.segmenter.network to a trained one"
        )
        raise ValueError(msg)
    return models[name]()


def train_aligners(
    training_views: dict[str, Promise],
    training_groups: pd.DataFrame,
    splits: pd.DataFrame,
    states: StateFiles,
    params: FusedViewsParams,
    segmentation: SegmentationParams,
) -> dict[str, ModelPromise]:
    """Promise the network of every registration that learns, by its entry.

    It is trained on one device of the hardware of the networks that segment.
    """
    learning = training_groups["subject"].isin(splits.query("split == 'train'")["subject"])
    groups = by_group(training_views, training_groups[learning])
    marks, promises = view_marks(groups), {}
    for name in filter(params.learns, params.used_registrations):
        system = find_registration(name, params)
        own = system.module.training_fingerprint(marks, system.params)
        learns = partial(system.module.train, own=own, hardware=segmentation.hardware.alone)
        train = partial(_train_aligner, name, system, list(groups.values()), states, learns)
        promises[name] = ModelPromise(train, own)
    return promises


def view_marks(groups: Mapping[str, Mapping[str, Promise]]) -> dict[str, str]:
    """Return the fingerprint of every view of some groups, by `group/view`."""
    return {
        f"{group}/{name}": view.fingerprint
        for group, views in groups.items()
        for name, view in views.items()
    }


def find_registration(name: str, params: FusedViewsParams) -> "System":
    """Find the kind of an entry of `fusion.registrations`."""
    from slicefill.plugins import find_system
    from slicefill.registration import FOLDER

    return find_system(FOLDER, f"fusion.registrations.{name}", params.registrations[name])


def _train_aligner(
    name: str,
    system: "System",
    groups: Sequence[Mapping[str, Promise]],
    states: StateFiles,
    learns: Callable[..., Checkpoint],
) -> Checkpoint:
    from slicefill.training.fit import Run

    with tracking.child_run(name):
        tracking.log_params({"registration": {"kind": system.kind, **system.params.model_dump()}})
        run = Run(states[name], tracking.reporter(f"{name}/"))
        return learns(each_group(groups), system.params, run)


def each_group(groups: Sequence[Mapping[str, Promise]]) -> Iterator[list[Case]]:
    """Read the views of one group after the other."""
    for views in groups:
        yield [promise.make() for promise in views.values()]
