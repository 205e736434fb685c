"""The node that segments views whose label maps are not given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from slicefill.execution.each import prepared
from slicefill.fingerprint import fingerprint
from slicefill.params import ImputationParams, SegmentationParams
from slicefill.params.fused_views import INTERTWINED, FusedViewsParams
from slicefill.pipelines.fusion.learning import find_network
from slicefill.pipelines.fusion.nodes import find_imputer
from slicefill.types import Checkpoint, Lazy, Models, Prediction, Promise

if TYPE_CHECKING:
    from slicefill.imputation.imputers import Imputer
    from slicefill.segmentation.opened import Opened


@dataclass(frozen=True)
class _Ready:
    """What segments views: a network, and, where it sees filled ones, a method."""

    network: "Opened"
    imputer: "Imputer | None"


def segment_views(
    view_cases: dict[str, Promise],
    view_models: Models,
    intertwined_models: Models,
    params: FusedViewsParams,
    segmentation: SegmentationParams,
    imputation: ImputationParams,
    parameters: dict[str, Any],
) -> dict[str, Lazy[Prediction]]:
    """Promise what networks say of the views' acquired slices, as `masks/group/view`.

    Raises:
        ValueError: If the training failed, or the network cannot be read.
    """
    made: dict[str, Lazy[Prediction]] = {}
    if params.fuses(INTERTWINED) and INTERTWINED in intertwined_models:
        made |= _by_cubes(view_cases, intertwined_models[INTERTWINED])
    if not params.fuses("network"):
        return made
    filled_by = params.segmenter.filled_by
    filled = find_imputer(filled_by, imputation, parameters) if filled_by else None
    network = find_network(view_models, params, segmentation)
    prepare = partial(_prepare, network, filled, segmentation)
    mark = [
        prepare().network.fingerprint,  # what cannot be opened is refused now, not view by view
        segmentation.inference,
        imputation.decisive,
        filled.fingerprint if filled else None,
    ]
    ready = Lazy(prepare, fingerprint(*mark, segmentation.hardware))
    return made | {
        f"network/{name}": Lazy(
            partial(_segment, ready, imputation, view), fingerprint(view.fingerprint, *mark)
        )
        for name, view in view_cases.items()
    }


def _prepare(
    checkpoint: Checkpoint, filled: "Lazy[Imputer] | None", segmentation: SegmentationParams
) -> _Ready:
    """Make the network ready, in whichever process segments."""
    from slicefill.segmentation.opened import open_network

    network = open_network(checkpoint, segmentation.inference, segmentation.hardware)
    return _Ready(network, filled.make() if filled else None)


def _segment(ready: Lazy[_Ready], imputation: ImputationParams, view: Promise) -> Prediction:
    from slicefill.views.segmenting import segment_view

    own = prepared(ready)
    return segment_view(view.make(), own.network, own.imputer, imputation)


def _by_cubes(
    view_cases: Mapping[str, Promise], read: Callable[[], Checkpoint]
) -> dict[str, Lazy[Prediction]]:
    """Promise what the segmenter of intertwined training says."""
    trained = read()["fingerprint"]
    return {
        f"{INTERTWINED}/{name}": Lazy(
            partial(_segment_by_cube, view, read), fingerprint(view.fingerprint, trained)
        )
        for name, view in view_cases.items()
    }


def _segment_by_cube(view: Promise, read: Callable[[], Checkpoint]) -> Prediction:
    from slicefill.views.intertwined.training import segment_by_cube

    return segment_by_cube(view.make(), read())
