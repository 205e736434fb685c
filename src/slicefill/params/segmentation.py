"""Parameters of segmentation: engines, training, augmentation, inference."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from slicefill.params.base import (
    AxisName,
    Count,
    Fraction,
    HardwareParams,
    Params,
    Positive,
    Weight,
    WindowParams,
)


class LesionSampling(Params):
    """Which patches are drawn where objects are small (`segmentation.lesion_sampling`)."""

    hard_fraction: Fraction = Field(
        0.5, description="of the patches that are not centred on an object: those on hard voxels"
    )
    hard: Literal["bright", "gradient"] = Field(
        "bright", description="which voxels are hard: of high intensity, or beside an edge"
    )
    negatives: Count = Field(100, description="centres of each kind in a scan, at most")
    distance: Weight = Field(20.0, description="least distance of these centres, mm")
    band: tuple[Fraction, Fraction] = Field(
        (0.2, 0.8), description="quantiles of intensity that the other centres lie between"
    )

    @model_validator(mode="after")
    def _band_rises(self) -> Self:
        if self.band[0] >= self.band[1]:
            msg = f"band: expected two quantiles, the lower one first, got {list(self.band)}"
            raise ValueError(msg)
        return self


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
    lesions: LesionSampling | None = Field(
        None, description="draw for small objects; null: every class alike, else anywhere"
    )
    cache_gb: Positive = Field(description="bound on the volumes held in memory")


class InferenceParams(Params):
    """Sliding window and what is kept of it."""

    overlap: Annotated[float, Field(ge=0, lt=1)] = Field(0.5, description="of neighbouring windows")
    stitching: Literal["gaussian", "centre"] = Field(
        "gaussian",
        description="how windows are put together: blended with Gaussian weights, or every voxel "
        "from the window whose centre is nearest",
    )
    batch: Count = Field(16, description="windows or slices at once")
    softmax: bool = Field(False, description="keep the class probabilities as a file")
    confidence: bool = Field(False, description="keep the probability of the label as a file")
    softness: Positive = Field(
        0.4,
        description="of imputed labels in a fusion: pixels by which one outline must lie nearer "
        "than another for e times the probability",
    )
    wrappers: list[dict[str, Any]] = Field(
        [], description="entries of kinds in segmentation/inference/, the first one innermost"
    )

    @field_validator("wrappers")
    @classmethod
    def _wrappers_go_together(cls, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        from slicefill.segmentation.inference import find_wrappers

        find_wrappers(entries)
        return entries

    @property
    def windows(self) -> float | tuple[float, str]:
        """What predictions in windows depend on: the overlap, and how they are put together."""
        return self.overlap if self.stitching == "gaussian" else (self.overlap, self.stitching)


class PredictionParams(Params):
    """Use of trained segmentation networks."""

    label_names: dict[int, str] = Field(description="id → name; 0 is the background")
    inference: InferenceParams = InferenceParams()
    hardware: HardwareParams = HardwareParams()


class SegmentationParams(PredictionParams):
    """Training and use of segmentation networks."""

    seeds: list[int] = Field(min_length=1, description="one network each; scores are averaged")
    engines: dict[str, dict[str, Any]] = Field(
        description="entries of kinds in segmentation/engines/, by name"
    )
    optimisation: SegmentationOptimisation
    inference: InferenceParams
    output: Literal["acquired", "isotropic"] = Field(
        "acquired",
        description="of the pipeline segmentation: labels of acquired slices, or fused isotropic "
        "ones",
    )
    imputed_by: str = Field(
        "pretrained", description="of output: isotropic: the entry of methods that imputes"
    )
    network: str | None = Field(
        None,
        description="of the pipeline segmentation: a trained network (.pt, a folder of nnU-Net's "
        "results, TorchScript, module:function); null: the first seed, trained on acquired slices",
    )


class ScanParams(Params):
    """How a case becomes what a segmentation network sees."""

    confidence_threshold: Fraction = Field(
        0.0, description="synthetic voxels below it give no loss"
    )
    through_plane: AxisName
    window: WindowParams | None = Field(
        description="of the acquired slices, for every method the same; null: the network sees "
        "intensities as they are, and scales them itself"
    )


class AugmentationParams(ScanParams):
    """What segmentation networks are trained on besides acquired slices, and how it is varied."""

    synthetic_weight: Weight = Field(
        description="loss weight of synthetic slices; 0: no loss there"
    )
    synthetic_fraction: Fraction | None = Field(
        description="share of synthetic slices among those drawn in 2D; null: by their number"
    )
    samples: Annotated[int, Field(ge=0)] = Field(
        0,
        description="imputations of a training case that networks learn from beside the mean, of "
        "methods that draw several",
    )
    transforms: list[dict[str, Any]] = Field(
        description="entries of kinds in segmentation/transforms/, in order; [] for none"
    )
