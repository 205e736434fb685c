"""Parameters of a comparison: which methods, how scored, which table."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from slicefill.params.base import Count, Fraction, Params, Positive, StatisticsParams

ACQUIRED_ONLY = "none"
"""The name in `ComparedMethod.impute` for no imputation at all."""


class ComparedMethod(Params):
    """A row of the table: how intervals are imputed and what segments the result.

    A row says what differs from imputation by the entry of `methods` that has its name.
    """

    title: str = Field(description="as the table names it")
    imputed_by: str = Field(description="an entry of `methods`, or none")
    count: Annotated[int, Field(ge=0)] | Literal["N_A"] | None = Field(
        None, description="synthetic slices per interval; null: as imputation says"
    )
    label_field: Literal["one_hot", "signed_distance", "shape_and_motion"] | None = Field(
        None, description="how a model warps labels; null: as imputation says"
    )
    engine: str | None = Field(None, description="of `segmentation.engines`; null: the preset's")
    restore_acquired: bool = Field(
        False, description="super-resolution changes acquired slices: put them back"
    )
    transforms: bool = Field(True, description="conventional augmentation, as augmentation says")

    @property
    def group(self) -> str:
        """Folder of the imputed cases; empty where nothing is imputed.

        Example:
            >>> ComparedMethod.model_construct(
            ...     imputed_by="iia", count=2, label_field="one_hot", restore_acquired=False
            ... ).group
            'iia_n2_one_hot'
        """
        if self.imputed_by == ACQUIRED_ONLY:
            return ""
        count = "" if self.count is None else f"_n{self.count}".replace("N_A", "a")
        labels = f"_{self.label_field}" if self.label_field else ""
        return f"{self.imputed_by}{count}{labels}{'_restored' if self.restore_acquired else ''}"


class Preset(Params):
    """An experiment: the methods of one table."""

    title: str = Field(description="of the table")
    engine: str = Field(description="of the methods that name none, in `segmentation.engines`")
    methods: list[str] = Field(min_length=1, description="its rows")
    reference: str = Field(description="the method that the others are tested against")


class ComparisonParams(Params):
    """The methods of one table, run side by side."""

    preset: str = Field(description="the table that is made")
    presets: dict[str, Preset] = Field(description="tables, by name")
    methods: dict[str, ComparedMethod] = Field(description="rows that tables may have, by name")

    @field_validator("methods", mode="before")
    @classmethod
    def _named_after_their_rows(cls, rows: Any) -> Any:
        """Let a row without a word be imputed by the method of its name, and be called so."""
        if not isinstance(rows, Mapping):
            return rows
        return {
            name: {"title": str(name).replace("_", "-"), "imputed_by": name, **row}
            if isinstance(row, Mapping)
            else row
            for name, row in rows.items()
        }

    @model_validator(mode="after")
    def _names_are_defined(self) -> Self:
        if self.preset not in self.presets:
            msg = f"{self.preset!r} is not defined; there is {', '.join(self.presets)}"
            raise ValueError(msg)
        for name, preset in self.presets.items():
            unknown = {*preset.methods, preset.reference} - set(self.methods)
            if unknown or preset.reference not in preset.methods:
                wrong = ", ".join(sorted(unknown)) or preset.reference
                msg = (
                    f"presets.{name}: expected names from comparison.methods and a reference "
                    f"among its methods, got {wrong}"
                )
                raise ValueError(msg)
        return self

    @property
    def chosen(self) -> dict[str, ComparedMethod]:
        """The methods of the preset, each with its engine."""
        preset = self.presets[self.preset]
        named = {name: self.methods[name] for name in preset.methods}
        return {
            name: method.model_copy(update={"engine": method.engine or preset.engine})
            for name, method in named.items()
        }

    def repeated(
        self, imputing: Collection[str], seeds: Sequence[int]
    ) -> dict[str, tuple[ComparedMethod, tuple[int, ...]]]:
        """Divide the rows by who sees what: a synthesis training of its own for every network.

        Args:
            imputing: Names of the methods that impute, repetitions of their trainings included.
            seeds: Of the segmentation networks of a row.

        Returns:
            By name: a row and the seeds of the networks that see what it imputes. A row whose
            method is trained again for every network is there once for each, `<row>_repeat1`, ...
        """
        made: dict[str, tuple[ComparedMethod, tuple[int, ...]]] = {}
        for name, row in self.chosen.items():
            if f"{row.imputed_by}_repeat1" not in imputing:
                made[name] = row, tuple(seeds)
                continue
            for number, seed in enumerate(seeds):
                end = f"_repeat{number}" if number else ""
                own = row.model_copy(update={"imputed_by": f"{row.imputed_by}{end}"})
                made[f"{name}{end}"] = own, (seed,)
        return made


class ScoringParams(StatisticsParams):
    """How predicted labels are scored, on acquired slices."""

    label_names: dict[int, str] = Field(description="id → name; 0, the background, is not scored")
    tolerance: Positive = Field(description="of the surface Dice (NSD), mm")
    both_empty: Literal["drop", "perfect"] = Field(
        description="neither truth nor prediction has the class: leave out, or Dice 1, distance 0"
    )
    one_empty: Literal["drop", "diagonal"] = Field(
        description="distances when one of the two has it: leave out, or the image diagonal"
    )
    figure_cases: Count = Field(description="cases drawn in full: the median and the worst")
    failure_dice: Fraction = Field(description="a case below it counts as failed in the table")
