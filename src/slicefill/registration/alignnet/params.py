"""Parameters of AlignNet."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from slicefill.params.base import Count, Positive, Weight
from slicefill.params.base import Params as BaseParams

_SIDES = (36, 256)  # voxels: what is left after three layers, and what memory holds


class Params(BaseParams):
    """What the network sees, how it learns, how it is applied; the paper's numbers but where said.

    As published it learns from likeness alone: `supervised_steps: 0`, `centred: reference`.
    """

    network: str | None = Field(
        None, description="a trained one, .pt; null: it learns from the views that are given"
    )
    cube_mm: Positive = Field(256.0, description="side of the cube that it sees of a view")
    pitch_mm: Positive = Field(2.0, description="of the cube's voxels")
    centred: Literal["mass", "reference"] = Field(
        "mass",
        description="middle of a view's cube: its own centre of mass, or as published that of the "
        "reference",
    )
    width: Count = Field(16, description="channels of the first layer")
    repeats: Count = Field(10, description="how often it is applied to what it has moved")
    refined: bool = Field(
        False, description="whether `rigid` goes on from what it finds; not of the paper"
    )
    teacher: dict[str, Any] | None = Field(
        None,
        description="a registration (`kind` and fields) that says where training views lie; null: "
        "known motions are of a view against itself",
    )
    supervised_steps: int = Field(
        1500, ge=0, description="the first steps: random motions are known; then by likeness"
    )
    epochs: Count = Field(20, description="of training; its state is kept after each")
    steps_per_epoch: Count = Field(100, description="of Adam")
    batch: Count = Field(2, description="pairs of views in a step")
    rate: Positive = Field(1e-3, description="of learning")
    rotation: Weight = Field(45.0, description="degrees: random motions about each axis")
    translation: Weight = Field(30.0, description="mm: random motions along each axis")
    window_mm: Positive = Field(30.0, description="of the local correlation")
    identity_weight: Weight = Field(0.1, description="of the loss of a view moved onto itself")
    seed: int = Field(0, ge=0, description="of weights and motions")

    @property
    def side(self) -> int:
        """Of the cube, voxels."""
        return round(self.cube_mm / self.pitch_mm)

    @property
    def window(self) -> int:
        """Of the local correlation, voxels, odd."""
        return max(3, round(self.window_mm / self.pitch_mm)) // 2 * 2 + 1

    @model_validator(mode="after")
    def _side_fits(self) -> Self:
        low, high = _SIDES
        if not low <= self.side <= high:
            msg = (
                f"expected cube_mm / pitch_mm of {low} to {high} voxels, got {self.side}: change "
                "one of them"
            )
            raise ValueError(msg)
        return self
