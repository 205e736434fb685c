"""Training of the networks that are our own, by gradient descent, on one device or several."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import nn

from slicefill import __version__
from slicefill.fingerprint import fingerprint
from slicefill.params import InferenceParams, PredictionParams
from slicefill.segmentation.interface import Objective, Predictor, SegmentationData, Setting
from slicefill.segmentation.learner import SegmentationLearner, Task
from slicefill.segmentation.lesion_sampling import LesionSampler
from slicefill.segmentation.networks import Design, build_network
from slicefill.segmentation.objectives import Drawer, Total
from slicefill.segmentation.sampling import Drawing, Sampler
from slicefill.segmentation.scans import Scan
from slicefill.segmentation.sliding_window import make_predictor
from slicefill.training.fit import Run, Schedule, fit, share_run
from slicefill.training.hardware import launch, launch_fabric, sum_over_processes
from slicefill.types import Checkpoint, Floats

MakeDesign = Callable[[int, SegmentationData], Design]
"""Designs a network for so many image channels and for the data."""
MakeObjective = Callable[[Drawer, Total, nn.Module, Setting], Objective]
"""Says what a network is trained towards, from patches that it draws."""


def drawing_of(design: Design, data: SegmentationData, setting: Setting) -> Drawing:
    """Say what is drawn: patches of the size of the design, as often from objects as is set."""
    options, fraction = setting.params.optimisation, setting.augmentation.synthetic_fraction
    patch = cast("tuple[int, int] | tuple[int, int, int]", tuple(design["patch"]))
    return Drawing(patch, options.foreground_fraction, fraction, data.classes, options.cache_gb)


def sample_patches(design: Design, data: SegmentationData, setting: Setting) -> Sampler:
    """Draw slices or blocks of the size of the design."""
    drawing, lesions = drawing_of(design, data, setting), setting.params.optimisation.lesions
    if lesions is not None:
        return LesionSampler(data.training, drawing, lesions)
    return Sampler(data.training, drawing)


def predict_patches(
    design: Design, fabric: Fabric, network: nn.Module, params: InferenceParams
) -> Predictor:
    """Predict slice by slice, or in windows of the size of the design."""
    return make_predictor(fabric, network, tuple(design["patch"]), params)


@dataclass(frozen=True)
class Parts:
    """What an engine may bring of its own; the rest of a training is the same for all.

    Attributes:
        build: From a design to a network with random weights; in eval mode it returns logits.
        sampler: Draws what is learned from.
        predictor: Makes the predictor, in validation and of a trained network.
    """

    build: Callable[[Design], nn.Module] = build_network
    sampler: Callable[[Design, SegmentationData, Setting], Sampler] = sample_patches
    predictor: Callable[[Design, Fabric, nn.Module, InferenceParams], Predictor] = predict_patches


_USUAL = Parts()


def train_network(
    data: SegmentationData,
    setting: Setting,
    run: Run,
    own: str,
    design: MakeDesign,
    objective: MakeObjective,
    parts: Parts = _USUAL,
) -> Checkpoint:
    """Train a network of our own.

    Args:
        data: Scans; only voxels with a weight above 0 are learned from.
        setting: Optimisation, augmentation, seed, hardware.
        run: State keeper and reporter; picklable, as the data, where there are several devices.
        own: Fingerprint of the training, by which it knows its own last state.
        design: Designs the network.
        objective: Makes what is minimised.
        parts: What else the engine brings of its own.

    Returns:
        The checkpoint of the epoch with the best validation Dice on acquired slices.

    Raises:
        FloatingPointError: If a loss stops being finite.
        ValueError: If nothing can be drawn, or no validation case can be scored.
    """
    if not data.training:
        msg = "no scan to train on: expected at least one training case; look at the split"
        raise ValueError(msg)
    plan = _Plan(design, objective, parts)
    train = partial(_train, data=data, setting=setting, run=run, own=own, plan=plan)
    return launch(setting.params.hardware, train)


def network_fingerprint(
    kind: str, data: SegmentationData, params: Any, setting: Setting, *more: Any
) -> str:
    """Return the fingerprint of all that a network of our own depends on.

    Args:
        kind: Of the engine.
        data: Scans and classes.
        params: The engine's entry.
        setting: Of it count optimisation, hardware, transforms, synthetic fraction and seed.
        more: What else the training of this engine reads.
    """
    shared = setting.params.model_dump(include={"hardware", "optimisation"}, exclude_none=True)
    varied = setting.augmentation.model_dump(include={"transforms", "synthetic_fraction"})
    return fingerprint(
        kind, data.fingerprints, data.classes, params, shared, varied, setting.seed, *more
    )


def load_network(
    checkpoint: Checkpoint, params: PredictionParams, parts: Parts = _USUAL
) -> Predictor:
    """Rebuild a trained network on the device of `params.hardware`.

    Its predictor refuses scans of other channels.
    """
    fabric = launch_fabric(params.hardware.alone)
    design = checkpoint["design"]
    network = _channels_last(parts.build(design), design)
    network.load_state_dict(checkpoint["weights"])
    predictor = parts.predictor(design, fabric, network.to(fabric.device), params.inference)

    def predict(scan: Scan) -> Floats:
        if scan.image.shape[1] != design["channels"]:
            msg = (
                f"expected {design['channels']} channel(s), as the network learned from, got "
                f"{scan.image.shape[1]}: choose channels (ingestion.channel), or another network"
            )
            raise ValueError(msg)
        return predictor(scan)

    return predict


@dataclass(frozen=True)
class _Plan:
    design: MakeDesign
    objective: MakeObjective
    parts: Parts


def _train(
    fabric: Fabric, data: SegmentationData, setting: Setting, run: Run, own: str, plan: _Plan
) -> Checkpoint:
    options, parts = setting.params.optimisation, plan.parts
    channels = data.training[min(data.training)].make().image.shape[1]
    made = plan.design(channels, data)
    sampler = parts.sampler(made, data, setting)
    torch.manual_seed(setting.seed)
    network = _channels_last(parts.build(made), made).to(fabric.device)
    drawer = Drawer(sampler, setting.augmentation.transforms, fabric)
    towards = plan.objective(drawer, partial(sum_over_processes, fabric), network, setting)
    task = Task(sampler, towards, data.validation, data.classes, setting.seed)

    def prepare(wrapped: nn.Module) -> Predictor:
        return parts.predictor(made, fabric, wrapped, setting.params.inference)

    learner = SegmentationLearner(fabric, network, task, options, prepare)
    schedule = Schedule(options.epochs, options.patience, "validation/dice")
    progress = fit(learner, schedule, share_run(fabric, run), own)
    return {
        "design": made,
        "weights": progress.best["weights"],
        "classes": list(data.classes),
        "seed": setting.seed,
        "epoch": progress.best["epoch"],
        "validation": {"dice": progress.best["score"]},
        "history": progress.history,
        "fingerprint": own,
        "version": __version__,
    }


def _channels_last(network: nn.Module, design: Design) -> nn.Module:
    layout = torch.channels_last if design["dims"] == 2 else torch.channels_last_3d
    return network.to(memory_format=layout)  # type: ignore[call-overload, no-any-return]
