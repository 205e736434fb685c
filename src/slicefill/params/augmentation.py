"""Parameters of the augmentation pipeline."""

from typing import Any

from pydantic import Field

from slicefill.params.base import AxisName, Fraction, Params, Weight, WindowParams


class AugmentationParams(Params):
    """What segmentation networks are trained on besides acquired slices, and how it is varied."""

    synthetic_weight: Weight = Field(
        description="loss weight of synthetic slices; 0: no loss there"
    )
    synthetic_fraction: Fraction | None = Field(
        description="share of synthetic slices among those drawn in 2D; null: by their number"
    )
    confidence_threshold: Fraction = Field(description="synthetic voxels below it give no loss")
    transforms: list[dict[str, Any]] = Field(
        description="entries of kinds in segmentation/transforms/, in order; [] for none"
    )
    through_plane: AxisName
    window: WindowParams = Field(description="of the acquired slices, for every method the same")
