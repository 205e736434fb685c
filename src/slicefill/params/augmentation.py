"""Parameters of the augmentation pipeline."""

from pydantic import Field

from slicefill.params.base import AxisName, Fraction, Params, Weight, WindowParams


class TransformParams(Params):
    """Conventional augmentation: random transforms of what is drawn."""

    probability: Fraction = Field(description="of each transform but the flips, which have 0.5")
    flip: bool = Field(description="mirror along every axis")
    rotation: Weight = Field(description="most degrees, in the plane of the slices")
    scaling: Fraction = Field(description="most change of size: 0.2 is 0.8 to 1.2")
    elastic: Weight = Field(description="largest displacement, pixels; 0: none")
    intensity: Fraction = Field(description="most change of contrast and brightness")
    noise: Fraction = Field(description="largest standard deviation, on intensities in [0, 1]")


class AugmentationParams(Params):
    """What segmentation networks are trained on besides acquired slices, and how it is varied."""

    synthetic_weight: Weight = Field(
        description="loss weight of synthetic slices; 0: no loss there"
    )
    synthetic_fraction: Fraction | None = Field(
        description="share of synthetic slices among those drawn in 2D; null: by their number"
    )
    confidence_threshold: Fraction = Field(description="synthetic voxels below it give no loss")
    transforms: TransformParams | None = Field(description="null: no conventional augmentation")
    through_plane: AxisName
    window: WindowParams = Field(description="of the acquired slices, for every method the same")
