"""Adaptation node: ask the imputation pipeline for it."""

from slicefill.params import AdaptationParams, AdaptParams, ImputationParams


def ask_for_adaptation(
    imputation: ImputationParams, adaptation: AdaptationParams
) -> ImputationParams:
    """Set `imputation.adapt` where it is null, to the minutes of `adaptation.optimisation`."""
    if imputation.adapt is not None:
        return imputation
    asked = AdaptParams.model_validate({"minutes": adaptation.optimisation.minutes})
    return imputation.model_copy(update={"adapt": asked})
