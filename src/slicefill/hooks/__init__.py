"""What surrounds a Kedro run: checked overrides, an MLflow run, the word on cases left out."""

from slicefill.hooks.parameters import ParametersHook
from slicefill.hooks.quarantine import CASES_LEFT_OUT, QuarantineHook
from slicefill.hooks.tracking import TrackingHook

__all__ = ["CASES_LEFT_OUT", "ParametersHook", "QuarantineHook", "TrackingHook"]
