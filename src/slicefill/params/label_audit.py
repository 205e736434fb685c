"""Parameters of the audit of synthetic labels."""

from typing import Literal

from pydantic import Field

from slicefill.params.base import Params, Weight

DamageName = Literal["warp", "shift", "crop_left", "crop_random", "shrink", "grow", "permute"]


class LabelAuditParams(Params):
    """What synthetic labels are set beside."""

    label_names: dict[int, str] = Field(description="id → name; 0, the background, is left out")
    damages: dict[DamageName, list[Weight]] = Field(
        description="strengths: mm of warp and shift; share of the volume of shrink and grow; "
        "share of the cases of the others"
    )
    seed: int = Field(description="of what is drawn")
