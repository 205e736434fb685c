"""Damage to the labels of training patches, drawn anew at every load; the image stays.

For experiments on what errors of labels cost a network: `conf/label_noise`, docs/audit.md.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from slicefill.params.base import Params as BaseParams
from slicefill.params.base import Weight

if TYPE_CHECKING:  # MONAI takes seconds to import
    from monai.transforms.transform import RandomizableTransform
    from torch import Tensor


class Params(BaseParams):
    """Which damage, how strong."""

    damage: Literal["warp", "shift", "crop_left", "crop_random", "shrink", "grow"] = Field(
        description="warp is unbiased; shift and crop_left are biased; shrink and grow in volume"
    )
    strength: Weight = Field(
        description="pixels of warp and shift; share of patches of a crop; of the volume in each "
        "patch of shrink and grow"
    )


def make(params: Params) -> "RandomizableTransform":
    """Build the transform (`TransformFile`); it belongs before geometric ones."""
    import torch
    from monai.transforms.transform import RandomizableTransform

    from slicefill.simulation.label_noise import DAMAGES

    class LabelNoise(RandomizableTransform):
        def __call__(self, data: "dict[str, Tensor]") -> "dict[str, Tensor]":
            label = data["truth"][0].numpy()
            draw = np.random.default_rng(self.R.randint(2**31))
            damaged = DAMAGES[params.damage](label, np.ones(label.ndim), params.strength, draw)
            truth = data["truth"].clone()
            truth[0] = torch.from_numpy(damaged)
            return {**data, "truth": truth}

    return LabelNoise(1.0)
