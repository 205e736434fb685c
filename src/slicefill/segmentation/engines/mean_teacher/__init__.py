"""The uncertainty-aware mean teacher (Yu et al., 2019) on the 2D U-Net."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from slicefill.params import PredictionParams
from slicefill.params.base import Count, Fraction, Weight
from slicefill.segmentation.engines import unet2d
from slicefill.types import Checkpoint

if TYPE_CHECKING:  # brings torch
    from slicefill.segmentation.interface import Predictor, SegmentationData, Setting
    from slicefill.training.fit import Run


class Params(unet2d.Params):
    """The network as of `unet2d`, and how unlabelled slices teach."""

    dropout: Fraction = Field(description="of both networks: Monte Carlo passes need it")
    decay: Fraction = Field(description="of the moving average that makes the teacher")
    consistency: Weight = Field(description="largest weight of the consistency loss")
    ramp_up: Fraction = Field(description="share of all steps until that weight is reached")
    passes: Count = Field(description="Monte Carlo passes of the teacher")
    noise: Weight = Field(description="standard deviation of the noise on what networks see")
    unlabelled_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="of the patches of a step; the labelled ones are as many as `batch`"
    )


def training_fingerprint(data: "SegmentationData", params: Params, setting: "Setting") -> str:
    """Return the fingerprint of scans, entry and optimisation (`EngineFile`)."""
    from slicefill.segmentation.training import network_fingerprint

    return network_fingerprint("mean_teacher", data, params, setting)


def train(data: "SegmentationData", params: Params, setting: "Setting", run: "Run") -> Checkpoint:
    """Train on labelled and unlabelled slices (`EngineFile`)."""
    from slicefill.segmentation.engines.mean_teacher.teacher import with_mean_teacher
    from slicefill.segmentation.training import train_network

    own = training_fingerprint(data, params, setting)
    design = partial(unet2d.design, params, dropout=params.dropout)
    objective = partial(with_mean_teacher, params)
    made = train_network(data, setting, run, own, design, objective)
    return {"engine": "mean_teacher", **made}


def load(checkpoint: Checkpoint, segmentation: PredictionParams) -> "Predictor":
    """Rebuild the student (`EngineFile`)."""
    from slicefill.segmentation.training import load_network

    return load_network(checkpoint, segmentation)
