"""Parameters of the ingestion pipeline."""

from functools import cache
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from slicefill.params.base import AxisName, Count, Fraction, Params, Positive


class SplitParams(Params):
    """How cases are divided, always by subject."""

    file: str | None = Field(description="CSV with columns case, split (and fold); null: seeded")
    train: Fraction = Field(description="share of the subjects")
    validation: Fraction = Field(description="share of the subjects")
    test: Fraction = Field(description="share of the subjects")
    folds: Annotated[int, Field(ge=2)] = Field(description="k of the k-fold column")
    stratify: bool = Field(description="balance subjects with and without labels")
    seed: int = Field(description="of the draw of subjects and cases")

    @model_validator(mode="after")
    def _fractions_sum_to_one(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            msg = f"train + validation + test must be 1, got {total:g}"
            raise ValueError(msg)
        return self


class LabelParams(Params):
    """Which label ids are expected and how they are merged."""

    need: Literal["required", "optional", "ignored"] = Field(
        description="must a case have a label map?"
    )
    names: dict[int, str] = Field(description="id after merging → name; 0 is the background")
    groups: dict[int, list[int]] | None = Field(description="new id → ids in the file; null: as is")
    unlisted: Literal["refuse", "background", "keep"] = Field(description="ids in no group or name")
    sparse: Literal["refuse", "background"] = Field(
        description="if only every n-th slice is labelled: refuse, or the others are background"
    )


class IngestionParams(Params):
    """What the raw folder looks like and what a good case is."""

    layout: str = Field(description="how the raw folder is laid out: a file of ingestion/layouts/")
    bids_suffix: str = Field(description="BIDS image suffix, e.g. T2w")
    channel: Annotated[int, Field(ge=0)] | Literal["all"] | None = Field(
        description="channel of 4D images: an index, all of them, or null to refuse 4D"
    )
    subject_pattern: str = Field(description="regex with one group, matched on the case id")
    views_pattern: str | None = Field(
        description="regex with one group, matched on the case id: cases that have it in common "
        "are views of one object; null: what BIDS names or DICOM headers say"
    )
    cases_per_subject: Count = Field(description="n: numeric ids kn-n+1 … kn are one subject")
    through_plane: AxisName
    affine_tolerance: Positive = Field(
        description="sform against qform, image against label: fraction of the smallest spacing"
    )
    step_tolerance: Positive = Field(description="uneven DICOM slice steps, fraction of the step")
    missing_slices: Literal["refuse", "impute"] = Field(
        "refuse",
        description="a DICOM series that lacks slices, or has uneven steps: refused, or imputed at "
        "the positions of a regular grid that has all of its slices",
    )
    not_finite: Literal["refuse", "background"] = Field(
        description="NaN and infinite voxels: refused, or given the lowest finite value"
    )
    labels: LabelParams
    strict: bool = Field(description="stop at the first bad case instead of quarantining it")
    limit: Count | None = Field(description="at most so many cases, drawn by split.seed; null: all")
    split: SplitParams

    @field_validator("layout")
    @classmethod
    def _layout_exists(cls, layout: str) -> str:
        from slicefill.plugins import find_kind  # which explains errors as these models do

        find_kind("slicefill.ingestion.layouts", layout)
        return layout


@cache
def own_scans(missing_slices: Literal["refuse", "impute"] = "refuse") -> IngestionParams:
    """Return how scans are read where there is no `conf/`: as `kedro run --env=scans` does.

    Args:
        missing_slices: Whether series that lack slices are read.
    """
    return IngestionParams(
        layout="auto",
        bids_suffix="T2w",
        channel="all",
        subject_pattern="^(.+)$",
        views_pattern=None,
        cases_per_subject=1,
        through_plane="auto",
        affine_tolerance=0.1,
        step_tolerance=0.05,
        missing_slices=missing_slices,
        not_finite="refuse",
        labels=LabelParams(
            need="optional",
            names={0: "background"},
            groups=None,
            unlisted="keep",
            sparse="refuse",
        ),
        strict=False,
        limit=None,
        split=SplitParams(
            file=None, train=1.0, validation=0.0, test=0.0, folds=2, stratify=False, seed=0
        ),
    )


@cache
def sparsely_labelled() -> IngestionParams:
    """Return how scans are read of which only some slices are labelled: as `own_scans`."""
    own = own_scans()
    labels = own.labels.model_copy(update={"sparse": "background"})
    return own.model_copy(update={"labels": labels})
