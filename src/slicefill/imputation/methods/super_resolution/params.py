"""Parameters of the super-resolution baselines: EDSR, RCAN and ESRGAN across slices."""

from typing import Annotated, Literal, Self

from pydantic import Field

from slicefill.params.base import AxisName, Count, HardwareParams, Positive, Weight, WindowParams
from slicefill.params.base import Params as BaseParams


class NetworkParams(BaseParams):
    """Size of one network."""

    kind: Literal["edsr", "rcan", "esrgan"] = Field(description="architecture")
    width: Annotated[int, Field(ge=4)] = Field(description="channels")
    blocks: Count = Field(description="residual blocks; RCAN: per group")
    groups: Count = Field(1, description="RCAN: residual groups")
    residual_scale: Positive = Field(description="EDSR 0.1, RRDB 0.2, RCAN 1")


class OptimisationParams(BaseParams):
    """Adam, half the learning rate at half of the epochs."""

    learning_rate: Positive = Field(description="at the start")
    batch: Count = Field(description="pairs of patches")
    patch: tuple[Count, Count] = Field(description="low resolution: slices, pixels")
    epochs: Count = Field(description="on L1")
    steps_per_epoch: Count = Field(description="optimisation steps")
    adversarial_epochs: Annotated[int, Field(ge=0)] = Field(
        description="ESRGAN: epochs against the discriminator, after those on L1"
    )
    adversarial: Weight = Field(description="ESRGAN: weight of the relativistic loss; 0.005")
    pixel: Weight = Field(description="ESRGAN: weight of L1 beside it; 0.01")
    perceptual: Weight = Field(description="ESRGAN: weight of the VGG loss; 1")
    cache_gb: Positive = Field(description="bound on the volumes held in memory")


class Params(BaseParams):
    """Baselines that raise the resolution across slices; trained on isotropic cases."""

    network: NetworkParams
    factor: Count = Field(description="by which slices become denser")
    through_plane: AxisName
    perceptual: str = Field(description="none, hub (ImageNet VGG16) or a file with its weights")
    optimisation: OptimisationParams
    seed: int = Field(description="of weights and patches")
    window: WindowParams
    hardware: HardwareParams = HardwareParams()

    def repeated(self, number: int) -> Self:
        """Return the same for another training: with the seed that is so much larger."""
        return self.model_copy(update={"seed": self.seed + number})
