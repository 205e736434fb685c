"""ConResNet (Zhang et al., 2021): it also learns where labels change from slice to slice.

Its residual decoder predicts |Y(s) - Y(s - 1)| of every object along the through-plane axis; what
it finds is the segmentation's attention. Kernels and strides follow the spacing.
"""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from slicefill.params import PredictionParams
from slicefill.params.base import Count, Fraction, Weight
from slicefill.params.base import Params as BaseParams
from slicefill.types import Checkpoint

if TYPE_CHECKING:  # brings torch
    from torch import nn

    from slicefill.segmentation.interface import (
        Objective,
        Predictor,
        SegmentationData,
        Setting,
    )
    from slicefill.segmentation.objectives import Drawer, Total
    from slicefill.training.fit import Run

_LEVELS = 4


class Params(BaseParams):
    """Size, what it sees at once, and its parts; published: width 32, patch 80 × 160 × 160."""

    width: Annotated[int, Field(ge=8, multiple_of=8)] = Field(
        description="channels of the first level"
    )
    patch: tuple[Count, Count, Count] = Field(description="voxels: slices, rows, columns")
    dropout: Fraction = Field(description="of channels at the bottleneck")
    residual: bool = Field(description="the residual decoder; false: its plain baseline")
    mapping: bool = Field(description="the residual decoder sees changes of features, eq. (4)")
    attention: bool = Field(description="it weights features of the segmentation, eq. (6)")
    residual_weight: Weight = Field(description="of its loss, beside that of the segmentation")
    head_weight: Weight = Field(description="of its deeper heads, beside the finest")
    background_weight: Literal["one", "printed"] = Field(
        description="of voxels without a change: 1, or log(V / V0) as printed"
    )


def training_fingerprint(data: "SegmentationData", params: Params, setting: "Setting") -> str:
    """Return the fingerprint of scans, entry, optimisation and windows (`EngineFile`)."""
    from slicefill.segmentation.training import network_fingerprint

    windows = setting.params.inference.windows  # that validation predicts in
    return network_fingerprint("conresnet", data, params, setting, windows)


def train(data: "SegmentationData", params: Params, setting: "Setting", run: "Run") -> Checkpoint:
    """Train on labelled blocks (`EngineFile`)."""
    from slicefill.segmentation.training import Parts, train_network

    own = training_fingerprint(data, params, setting)
    towards = partial(_objective, params, len(data.classes))
    made = train_network(data, setting, run, own, partial(design, params), towards, Parts(build))
    return {"engine": "conresnet", **made}


def load(checkpoint: Checkpoint, segmentation: PredictionParams) -> "Predictor":
    """Rebuild the trained network (`EngineFile`)."""
    from slicefill.segmentation.training import Parts, load_network

    return load_network(checkpoint, segmentation, Parts(build))


def design(params: Params, channels: int, data: "SegmentationData") -> dict[str, Any]:
    """Design four levels for the median spacing and size of the training scans; reads them all.

    Levels beyond those that `plan_levels` gives do not halve.

    Returns:
        Plain values, kept in the checkpoint.
    """
    from slicefill.segmentation.planning import Levels, fit_patch, plan_for

    levels, patch = plan_for(data, params.patch)
    missing = _LEVELS - len(levels.strides)
    levels = Levels(
        [*levels.kernels[:_LEVELS], *[(3, 3, 3)] * missing],
        [*levels.strides[:_LEVELS], *[(1, 1, 1)] * missing],
    )
    parts = {"width", "residual", "mapping", "attention", "dropout"}
    return {
        "dims": 3,
        "channels": channels,
        "classes": len(data.classes),
        "kernels": [list(kernel) for kernel in levels.kernels],
        "strides": [list(stride) for stride in levels.strides],
        "patch": list(fit_patch(patch, levels)),
        **params.model_dump(include=parts),
    }


def build(design: dict[str, Any]) -> "nn.Module":
    """Build the network of a design, with random weights."""
    from slicefill.segmentation.engines.conresnet.network import ConResNet, Shape

    own = {key: value for key, value in design.items() if key not in {"dims", "patch"}}
    own |= {key: [tuple(each) for each in design[key]] for key in ("kernels", "strides")}
    return ConResNet(Shape(residuals=design["classes"] - 1, **own))


def _objective(
    params: Params,
    classes: int,
    drawer: "Drawer",
    total: "Total",
    network: "nn.Module",
    setting: "Setting",
) -> "Objective":
    from slicefill.segmentation.engines.conresnet.losses import SegmentationAndResidual

    batch = setting.params.optimisation.batch
    return SegmentationAndResidual(
        lambda rng: drawer(batch, rng),
        total,
        classes,
        params.residual_weight,
        params.head_weight,
        params.background_weight,
    )
