"""Hooks of a Kedro run: checks of overrides, an MLflow run, a warning about cases left out."""

from slicefill.hooks.parameters import ParametersHook
from slicefill.hooks.quarantine import CASES_LEFT_OUT, QuarantineHook
from slicefill.hooks.tracking import TrackingHook

__all__ = ["CASES_LEFT_OUT", "ParametersHook", "QuarantineHook", "TrackingHook"]
