"""Parameters of the segmentation pipeline: engines, training, inference."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from slicefill.params.base import Count, Fraction, HardwareParams, Params, Positive, Weight


class UNet2DParams(Params):
    """A U-Net on slices (Ronneberger et al., 2015), five levels; the published width is 64."""

    width: Annotated[int, Field(ge=4)] = Field(description="channels of the first level")
    patch: tuple[Count, Count] = Field(description="pixels; smaller slices are padded")

    @model_validator(mode="after")
    def _patch_can_be_halved(self) -> Self:
        if any(size % 16 for size in self.patch) or max(self.patch) < 32:
            msg = f"patch must be multiples of 16, one of them 32 or more, got {self.patch}"
            raise ValueError(msg)
        return self


class DynUNet3DParams(Params):
    """nnU-Net's architecture in 3D: kernels and strides follow from the spacing."""

    width: Annotated[int, Field(ge=4)] = Field(description="channels of the first level")
    widest: Annotated[int, Field(ge=4)] = Field(description="most channels of a level")
    patch: tuple[Count, Count, Count] = Field(description="voxels: slices, rows, columns")
    deep_supervision: bool = Field(description="losses at lower resolutions too")


class MeanTeacherParams(Params):
    """Uncertainty-aware mean teacher (Yu et al., 2019) on the 2D U-Net."""

    dropout: Fraction = Field(description="of both networks: Monte Carlo passes need it")
    decay: Fraction = Field(description="of the moving average that makes the teacher")
    consistency: Weight = Field(description="largest weight of the consistency loss")
    ramp_up: Fraction = Field(description="share of all steps until that weight is reached")
    passes: Count = Field(description="Monte Carlo passes of the teacher")
    noise: Weight = Field(description="standard deviation of the noise on what networks see")
    unlabelled_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="of the slices in a batch"
    )


class NnUNetParams(Params):
    """The nnU-Net v2 library, where it is installed."""

    configuration: Literal["2d", "3d_fullres"] = Field(description="as nnU-Net calls it")
    trainer: str = Field(description="a published trainer class: it fixes the number of epochs")
    processes: Count = Field(description="of preprocessing, augmentation and export")


class SegmentationOptimisation(Params):
    """SGD with Nesterov momentum and a polynomial learning rate, as nnU-Net."""

    learning_rate: Positive = Field(description="at the start")
    momentum: Fraction = Field(description="Nesterov")
    weight_decay: Weight = Field(description="L2")
    power: Positive = Field(description="learning rate × (1 - step / steps) ** power")
    gradient_clip: Positive = Field(description="global norm")
    batch: Annotated[int, Field(ge=2)] = Field(description="patches in a step")
    epochs: Count = Field(description="at most")
    steps_per_epoch: Count = Field(description="the same for every method, whatever its slices")
    patience: Count = Field(description="epochs without a better validation that are waited for")
    foreground_fraction: Fraction = Field(
        description="of the patches that are centred on an object"
    )
    cache_gb: Positive = Field(description="bound on the volumes held in memory")


class InferenceParams(Params):
    """Sliding window and what is kept of it."""

    overlap: Fraction = Field(description="of neighbouring windows, Gaussian weights")
    batch: Count = Field(description="windows or slices at once")
    softmax: bool = Field(description="keep the class probabilities as a file")


class SegmentationParams(Params):
    """Training and use of segmentation networks."""

    seeds: list[int] = Field(min_length=1, description="one network each; scores are averaged")
    label_names: dict[int, str] = Field(description="id → name; 0 is the background")
    unet2d: UNet2DParams
    dynunet3d: DynUNet3DParams
    mean_teacher: MeanTeacherParams
    nnunetv2: NnUNetParams
    optimisation: SegmentationOptimisation
    inference: InferenceParams
    hardware: HardwareParams = HardwareParams()
