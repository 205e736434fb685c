"""Parameters of nnU-Net."""

from typing import Literal

from pydantic import Field

from slicefill.params.base import Count
from slicefill.params.base import Params as BaseParams


class Params(BaseParams):
    """What nnU-Net leaves to be chosen."""

    configuration: Literal["2d", "3d_fullres"] = Field(description="as nnU-Net calls it")
    trainer: str = Field(description="a published trainer class: it fixes the number of epochs")
    processes: Count = Field(description="of preprocessing, augmentation and export")
