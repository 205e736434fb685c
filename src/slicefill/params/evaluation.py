"""Parameters of the evaluation pipeline."""

from pydantic import Field

from slicefill.params.base import Count, Fraction, Params


class StatisticsParams(Params):
    """How methods are compared: by subject, paired, with intervals."""

    bootstrap_samples: Count = Field(description="drawn for every interval")
    confidence_level: Fraction = Field(description="of the intervals")
    seed: int = Field(description="of the bootstrap")


class EvaluationParams(StatisticsParams):
    """How synthetic slices are scored and shown."""

    reference_methods: list[str] = Field(description="the best of these is compared against")
    body_quantile: Fraction = Field(description="body mask: above this fraction of the data range")
    label_names: dict[int, str] = Field(description="id → name; 0, the background, is not scored")
    headline: list[str] = Field(description="columns of scores in the summary table, if measured")
    plotted: list[str] = Field(description="columns of scores in the box plots, if measured")
    figure_cases: Count = Field(description="cases drawn in full")
    figure_methods: list[str] = Field(description="drawn beside the truth")
