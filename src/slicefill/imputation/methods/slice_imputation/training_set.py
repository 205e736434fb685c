"""The training set of Slice Imputation: views and groups of the cases that a run learns from."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from slicefill.imputation.methods.slice_imputation.groups import (
    Group,
    ViewSummary,
    draw_groups,
    reach,
    require_groups,
    summarise_views,
)
from slicefill.imputation.methods.slice_imputation.params import SynthesisParams
from slicefill.imputation.methods.slice_imputation.perceptual import PerceptualFeatures
from slicefill.imputation.methods.slice_imputation.synthesis import as_batch, synthesise
from slicefill.imputation.methods.slice_imputation.views import ViewCache, kind_of
from slicefill.params.base import AxisName
from slicefill.types import Checkpoint, Promise


@dataclass(frozen=True)
class TrainingData:
    """The cases that a run learns from.

    Attributes:
        training: Anisotropic cases.
        validation: Those that choose the epoch: of other subjects, or other parts of the scans.
        axis: Their slice axis.
        start: The checkpoint whose synthesis network training goes on from; None: from the seed.
    """

    training: Mapping[str, Promise]
    validation: Mapping[str, Promise]
    axis: AxisName
    start: Checkpoint | None = None


@dataclass(frozen=True)
class TrainingSet:
    """Views and groups that a run learns from and is scored on, whatever the λ.

    Attributes:
        cache: Views of the training cases.
        summaries: Of the views of the training cases, for drawing groups.
        held_out: Views of the validation cases.
        scored: The validation groups that every epoch is scored on.
        features: φ of the perceptual loss; None: not used.
        start: The checkpoint that training goes on from; None: from the seed.
    """

    cache: ViewCache
    summaries: Mapping[str, Mapping[str, ViewSummary]]
    held_out: ViewCache
    scored: Sequence[Group]
    features: PerceptualFeatures | None
    start: Checkpoint | None = None


def gather_training_set(data: TrainingData, params: SynthesisParams) -> TrainingSet:
    """Read every case once and choose the validation groups.

    Raises:
        ValueError: If no case gives a group of the configured N.
    """
    cache = ViewCache(data.training, data.axis, params)
    summaries = summarise_views(cache, sorted(data.training))
    require_groups(len(summaries), "training", params)
    held_out = ViewCache(data.validation, data.axis, params)
    scored = validation_groups(summarise_views(held_out, sorted(data.validation)), params)
    require_groups(len(scored), "validation", params)
    features = PerceptualFeatures(params.perceptual) if "per" in params.lambdas else None
    return TrainingSet(cache, summaries, held_out, scored, features, data.start)


def validation_groups(
    summaries: Mapping[str, Mapping[str, ViewSummary]], params: SynthesisParams
) -> list[Group]:
    """Choose the groups that every epoch is scored on; the same for all methods with this seed."""
    rng = np.random.default_rng(params.optimisation.seed)
    inner = params.groups.inner
    fixed = params.groups.model_copy(
        update={
            "inner": inner if inner == "N_A" else (inner[0], inner[0]),
            "background_keep": 0.0,
        }
    )
    return draw_groups(summaries, fixed, params.optimisation.validation_groups, rng)


_LEAST_SSIM = 6  # pixels: half of its window, 5, is mirrored at the border
_MOST = 60.0  # dB counted for a perfect slice, whose PSNR is infinite


def validate(network: nn.Module, cache: ViewCache, groups: Sequence[Group]) -> dict[str, float]:
    """Score whole inner slices, intensities in [0, 1], data range 1.

    Returns:
        `validation/psnr` (dB) and `validation/ssim`, means over the kinds of group, and each
        per kind: `validation/psnr/through_plane`, `validation/psnr/in_plane`.
    """
    values = score_groups(network, cache, groups)
    means = {f"validation/{name}": float(np.mean(v)) for name, v in values.items()}
    for metric in ("psnr", "ssim"):
        kinds = [v for name, v in means.items() if name.startswith(f"validation/{metric}/")]
        means[f"validation/{metric}"] = float(np.mean(kinds))
    return means


@torch.no_grad()
def score_groups(
    network: nn.Module, cache: ViewCache, groups: Sequence[Group]
) -> dict[str, list[float]]:
    """Score the inner slices of every group, in an order that only the groups fix.

    Returns:
        A value per group by metric and kind: `psnr/through_plane` (dB), `ssim/in_plane`, ...
    """
    network.eval()
    device = next(network.parameters()).device
    values: dict[str, list[float]] = defaultdict(list)
    for group in sorted(groups, key=lambda g: (g.case, g.view, g.start)):
        view = cache[group.case][group.view]
        places = reach(group, len(view.slices))
        slices = torch.from_numpy(np.ascontiguousarray(view.slices[places]))[None].to(device)
        batch = as_batch(slices, slices.new_zeros(1, len(places)))
        made, real = synthesise(network, batch).slices[0], batch.inner[0]
        kind = kind_of(group.view)
        psnr = peak_signal_noise_ratio(made, real, data_range=1.0)
        values[f"psnr/{kind}"].append(min(float(psnr), _MOST))
        ssim = structural_similarity_index_measure(_large(made), _large(real), data_range=1.0)
        values[f"ssim/{kind}"].append(float(ssim))  # type: ignore[arg-type]  # a tuple only on request
    network.train()
    return dict(values)


def _large(slices: Tensor) -> Tensor:
    """Repeat the last rows and columns of `(N, C, H, W)` up to what SSIM can be measured on."""
    rows, columns = (max(_LEAST_SSIM - size, 0) for size in slices.shape[-2:])
    return F.pad(slices, (0, columns, 0, rows), mode="replicate")
