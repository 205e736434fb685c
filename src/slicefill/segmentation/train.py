"""Training the networks of our own: 2D U-Net, 3D DynUNet, mean teacher."""

from functools import partial
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import nn

from slicefill import __version__
from slicefill.fingerprint import fingerprint
from slicefill.params import SegmentationParams
from slicefill.segmentation.design import (
    Design,
    build_network,
    design_dynunet3d,
    design_unet2d,
)
from slicefill.segmentation.inference.sliding_window import make_predictor
from slicefill.segmentation.interface import Objective, Predictor, SegmentationData, Setting
from slicefill.segmentation.learner import SegmentationLearner, Task
from slicefill.segmentation.objectives import Drawer, supervised, with_mean_teacher
from slicefill.segmentation.sampling import Drawing, Sampler
from slicefill.training.fit import Run, Schedule, fit, share_run
from slicefill.training.hardware import launch, launch_fabric, sum_over_processes
from slicefill.types import Checkpoint

_READS: dict[str, dict[str, Any]] = {  # the parameters that training by an engine depends on
    "unet2d": {"unet2d": True, "optimisation": True},
    "mean_teacher": {"mean_teacher": True, "unet2d": True, "optimisation": True},
    "dynunet3d": {"dynunet3d": True, "optimisation": True, "inference": {"overlap"}},
    "nnunetv2": {"nnunetv2": True},
}


def train_network(engine: str, data: SegmentationData, setting: Setting, run: Run) -> Checkpoint:
    """Train `unet2d`, `dynunet3d` or `mean_teacher` on one device or several.

    Args:
        engine: Which of the three.
        data: Scans; only voxels with a weight above 0 are learned from.
        setting: Every number of the run.
        run: State keeper and reporter; picklable, as the data, where there are several devices.

    Returns:
        The checkpoint of the epoch with the best validation Dice on acquired slices.

    Raises:
        FloatingPointError: If a loss stops being finite.
        ValueError: If nothing can be drawn, or no validation case can be scored.
    """
    if not data.training:
        msg = "no scan to train on: expected at least one training case; look at the split"
        raise ValueError(msg)
    train = partial(_train, engine=engine, data=data, setting=setting, run=run)
    return launch(setting.params.hardware, train)


def training_fingerprint(engine: str, data: SegmentationData, setting: Setting) -> str:
    """Digest of all that a trained network depends on; what its engine never reads does not."""
    scans = {
        part: {case: scan.fingerprint for case, scan in cases.items()}
        for part, cases in (("training", data.training), ("validation", data.validation))
    }
    params = setting.params.model_dump(include={"hardware": True, **_READS[engine]})
    varied = None
    if engine != "nnunetv2":  # which augments by itself
        varied = setting.augmentation.model_dump(include={"transforms", "synthetic_fraction"})
    return fingerprint(engine, scans, data.classes, params, varied, setting.seed)


def load_network(checkpoint: Checkpoint, params: SegmentationParams) -> Predictor:
    """Rebuild a trained network on the device of `params.hardware`."""
    fabric = launch_fabric(params.hardware.alone)
    design = checkpoint["design"]
    network = _channels_last(build_network(design), design)
    network.load_state_dict(checkpoint["weights"])
    return make_predictor(
        fabric, network.to(fabric.device), tuple(design["patch"]), params.inference
    )


def _train(
    fabric: Fabric, engine: str, data: SegmentationData, setting: Setting, run: Run
) -> Checkpoint:
    params, options = setting.params, setting.params.optimisation
    design = _design(engine, data, params)
    sampler = _sampler(design, data, setting)
    torch.manual_seed(setting.seed)
    network = _channels_last(build_network(design), design).to(fabric.device)
    drawer = Drawer(sampler, setting.augmentation.transforms, fabric, design["dims"])
    objective = _objective(fabric, network, drawer, setting, engine)
    task = Task(sampler, objective, data.validation, data.classes, setting.seed)
    patch = tuple(design["patch"])
    prepare = partial(make_predictor, fabric, patch=patch, params=params.inference)
    learner = SegmentationLearner(fabric, network, task, options, prepare)
    schedule = Schedule(options.epochs, options.patience, "validation/dice")
    mark = training_fingerprint(engine, data, setting)
    progress = fit(learner, schedule, share_run(fabric, run), mark)
    return {
        "engine": engine,
        "design": design,
        "weights": progress.best["weights"],
        "classes": list(data.classes),
        "params": params.model_dump(),
        "augmentation": setting.augmentation.model_dump(),
        "seed": setting.seed,
        "epoch": progress.best["epoch"],
        "validation": {"dice": progress.best["score"]},
        "history": progress.history,
        "version": __version__,
    }


def _sampler(design: Design, data: SegmentationData, setting: Setting) -> Sampler:
    options, fraction = setting.params.optimisation, setting.augmentation.synthetic_fraction
    patch = cast("tuple[int, int] | tuple[int, int, int]", tuple(design["patch"]))
    drawing = Drawing(patch, options.foreground_fraction, fraction, data.classes, options.cache_gb)
    return Sampler(data.training, drawing)


def _design(engine: str, data: SegmentationData, params: SegmentationParams) -> Design:
    channels, classes = data.training[min(data.training)].make().image.shape[1], len(data.classes)
    if engine == "dynunet3d":
        return design_dynunet3d(channels, classes, params, data.training.values())
    dropout = params.mean_teacher.dropout if engine == "mean_teacher" else 0.0
    return design_unet2d(channels, classes, params, dropout)


def _objective(
    fabric: Fabric, network: nn.Module, drawer: Drawer, setting: Setting, engine: str
) -> Objective:
    batch, total = setting.params.optimisation.batch, partial(sum_over_processes, fabric)
    if engine == "mean_teacher":
        return with_mean_teacher(drawer, max(2, batch), total, network, setting)
    return supervised(drawer, batch, total)


def _channels_last(network: nn.Module, design: Design) -> nn.Module:
    layout = torch.channels_last if design["dims"] == 2 else torch.channels_last_3d
    return network.to(memory_format=layout)  # type: ignore[call-overload, no-any-return]
