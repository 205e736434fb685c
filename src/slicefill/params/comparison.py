"""Parameters of a comparison: which methods, how scored, which table."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from slicefill.params.base import Count, Fraction, Params, Positive, StatisticsParams
from slicefill.params.imputation import ImputationParams
from slicefill.params.segmentation import LesionSampling

ACQUIRED_ONLY = "none"
"""The name in `ComparedMethod.imputed_by` for no imputation at all."""
ORACLE = "oracle"
"""The name for the true slices, where a scan was subsampled: what perfect imputation would give."""
REPEAT = "_repeat"
"""What stands between a method's name and the number of a training of it beyond the first."""
Way = Literal["grid", "phases", "labels", "probabilities", "fused"]
"""How a network comes to the fine grid: it segments the imputed scan as a whole, or in phases, each
with the spacing of the acquired one; or it segments acquired slices, and their labels, or their
probabilities, are imputed; or the mean of the first and the third."""


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
    add_transforms: list[dict[str, Any]] = Field(
        [], description="entries of kinds in segmentation/transforms/, before those of augmentation"
    )
    lesions: LesionSampling | None = Field(
        None, description="draw patches for small objects; null: as segmentation.optimisation says"
    )
    predict: Way = Field("grid", description="how the network comes to the imputed slices")
    train_on: Literal["acquired", "imputed"] | None = Field(
        None,
        description="slices that the network learns from; null: imputed ones where it predicts the "
        "grid, else acquired ones",
    )
    logarithms: bool = Field(
        False, description="of predict: probabilities: their logarithms are interpolated"
    )
    synthetic_fraction: Fraction | None = Field(
        None, description="share of synthetic slices drawn in 2D; null: as augmentation says"
    )
    steps: Positive = Field(
        1.0, description="of training, as a multiple of those of segmentation.optimisation"
    )
    reference: str | None = Field(
        None, description="the row that it is tested against; null, or not there: the preset's"
    )

    @model_validator(mode="after")
    def _has_a_fine_grid(self) -> Self:
        if self.imputed_by == ACQUIRED_ONLY and (self.predict, self.train_on) != ("grid", None):
            msg = (
                "expected imputed_by, a method, beside predict or train_on, got "
                f"imputed_by: none, predict: {self.predict}, train_on: {self.train_on}"
            )
            raise ValueError(msg)
        return self

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

    @property
    def learned_group(self) -> str:
        """Folder of the imputed cases that the network learns from; empty for acquired slices."""
        usual = "imputed" if self.predict == "grid" else "acquired"
        return self.group if (self.train_on or usual) == "imputed" else ""

    @property
    def learning(self) -> tuple[object, ...]:
        """All that a row says of its network's training: rows that agree share the network."""
        varied = self.transforms, self.add_transforms, self.lesions
        return self.learned_group, *varied, self.synthetic_fraction, self.steps

    def rule(self, params: ImputationParams) -> ImputationParams:
        """Return the imputation parameters with what the method sets of its own."""
        changes: dict[str, Any] = {"restore_acquired": self.restore_acquired}
        if self.label_field is not None:
            changes["label_field"] = self.label_field
        own = params if self.count is None else params.counted(self.count)
        return own.model_copy(update=changes)


class Preset(Params):
    """An experiment: the methods of one table."""

    title: str = Field(description="of the table")
    engine: str = Field(description="of the methods that name none, in `segmentation.engines`")
    methods: list[str] = Field(min_length=1, description="its rows")
    reference: str = Field(description="the method that the others are tested against")
    subjects: Count | None = Field(
        None, description="that train, drawn anew for each seed, alike for all rows; null: all"
    )
    images: bool = Field(
        False, description="images and labels that rows impute of test cases are scored, too"
    )


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
        for name, row in self.methods.items():
            if row.reference is not None and row.reference not in self.methods:
                msg = f"methods.{name}: expected a reference among the rows, got {row.reference}"
                raise ValueError(msg)
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

    @property
    def references(self) -> dict[str, list[str]]:
        """Rows by the row that they are tested against, that of the preset first."""
        usual = self.presets[self.preset].reference
        made: dict[str, list[str]] = {usual: []}
        for name, row in self.chosen.items():
            own = row.reference if row.reference in self.chosen else None
            if name not in (usual, own):
                made.setdefault(own or usual, []).append(name)
        return made

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
            if f"{row.imputed_by}{REPEAT}1" not in imputing:
                made[name] = row, tuple(seeds)
                continue
            for number, seed in enumerate(seeds):
                end = f"{REPEAT}{number}" if number else ""
                own = row.model_copy(update={"imputed_by": f"{row.imputed_by}{end}"})
                made[f"{name}{end}"] = own, (seed,)
        return made

    def row(self, name: str) -> str:
        """Name the row that a repetition of `repeated` stands in."""
        return name if name in self.methods else name.rpartition(REPEAT)[0]

    def network(self, name: str) -> str:
        """Name the row whose network a row uses: the first one that learns from the same.

        So rows that differ in nothing but the way to the fine grid share a training. Repetitions
        (`repeated`) share one where they learn from acquired slices.
        """
        row = self.row(name)
        own = self.methods[row]
        first = next(each for each, other in self.methods.items() if other.learning == own.learning)
        return f"{first}{name.removeprefix(row)}" if own.learned_group else first


class ScoringParams(StatisticsParams):
    """How predicted labels are scored."""

    slices: Literal["acquired", "all"] = Field(
        "acquired",
        description="acquired ones; or, of a subsampled scan, all at full resolution: overlap and "
        "volume on the removed slices, surfaces in 3D on all between the first and the last one",
    )

    metrics: list[str] = Field(
        [],
        description="on request, by name or its first words: [lesion] for lesions found and false "
        "positives per scan",
    )
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
