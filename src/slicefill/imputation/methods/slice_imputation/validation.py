"""Validation by PSNR and SSIM of held-out inner slices, from anisotropic volumes alone."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from slicefill.imputation.methods.slice_imputation.groups import (
    Group,
    reach,
)
from slicefill.imputation.methods.slice_imputation.synthesis import as_batch, synthesise
from slicefill.imputation.methods.slice_imputation.views import IN_PLANE, ViewCache

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
        kind = "in_plane" if group.view in IN_PLANE else group.view
        psnr = peak_signal_noise_ratio(made, real, data_range=1.0)
        values[f"psnr/{kind}"].append(min(float(psnr), _MOST))
        ssim = structural_similarity_index_measure(made, real, data_range=1.0)
        values[f"ssim/{kind}"].append(float(ssim))  # type: ignore[arg-type]  # a tuple only on request
    network.train()
    return dict(values)
