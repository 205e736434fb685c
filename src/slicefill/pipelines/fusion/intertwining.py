"""The node by which a network that segments and one that registers learn together."""

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd

from slicefill import tracking
from slicefill.datasets.checkpoints import StateFiles
from slicefill.fingerprint import code_fingerprint, fingerprint
from slicefill.params import HardwareParams, SegmentationParams
from slicefill.params.fused_views import INTERTWINED, FusedViewsParams
from slicefill.pipelines.fusion.learning import (
    each_group,
    find_network,
    find_registration,
    view_marks,
)
from slicefill.pipelines.fusion.nodes import by_group
from slicefill.types import Checkpoint, ModelPromise, Models, Promise


def intertwine_networks(
    training_views: dict[str, Promise],
    training_groups: pd.DataFrame,
    splits: pd.DataFrame,
    view_models: Models,
    alignment_models: Models,
    states: StateFiles,
    params: FusedViewsParams,
    segmentation: SegmentationParams,
) -> dict[str, ModelPromise]:
    """Promise the two networks that learn together, as one model; none where no row asks for it.

    Raises:
        ValueError: If one of those that it starts from could not be trained.
    """
    if not params.fuses(INTERTWINED):
        return {}
    apart = (
        find_network(view_models, params, segmentation),
        _aligner_apart(alignment_models, params),
    )
    parts = []
    for name in ("train", "validation"):
        inside = training_groups["subject"].isin(splits.query(f"split == '{name}'")["subject"])
        parts.append(by_group(training_views, training_groups[inside]))
    own = fingerprint(
        [view_marks(part) for part in parts],
        params.intertwined,
        [each.get("fingerprint") for each in apart],
        *[code_fingerprint(f"slicefill.{each}") for each in ("views", "registration", "grids")],
    )
    known, held_out = (list(part.values()) for part in parts)
    one = segmentation.hardware.alone
    train = partial(_intertwine, known, held_out, apart, params, states, own=own, hardware=one)
    return {INTERTWINED: ModelPromise(train, own)}


def _aligner_apart(models: Models, params: FusedViewsParams) -> Checkpoint:
    from slicefill.registration.alignnet import read_network

    name = params.intertwined.registration
    system = find_registration(name, params)
    if system.params.network is not None:
        return read_network(system.params.network)
    if name not in models:
        msg = f"fusion: expected the network of registrations.{name}, but its training failed"
        raise ValueError(msg)
    return models[name]()


def _intertwine(
    training: Sequence[Mapping[str, Promise]],
    validation: Sequence[Mapping[str, Promise]],
    apart: tuple[Checkpoint, Checkpoint],
    params: FusedViewsParams,
    states: StateFiles,
    *,
    own: str,
    hardware: HardwareParams,
) -> Checkpoint:
    from slicefill.training.fit import Run
    from slicefill.views.intertwined.training import Apart, intertwine

    with tracking.child_run(INTERTWINED):
        tracking.log_params({"intertwined": params.intertwined.model_dump()})
        run = Run(states[INTERTWINED], tracking.reporter(f"{INTERTWINED}/"))
        known, held_out = each_group(training), each_group(validation)
        both = Apart(*apart)
        return intertwine(
            known, held_out, both, params.intertwined, run, own=own, hardware=hardware
        )
