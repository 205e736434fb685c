"""Hooks of a Kedro run: checks, an MLflow run, a warning about cases left out, a summary."""

from slicefill.hooks.parameters import ParametersHook
from slicefill.hooks.quarantine import QuarantineHook
from slicefill.hooks.summary import SummaryHook
from slicefill.hooks.tracking import TrackingHook

__all__ = ["ParametersHook", "QuarantineHook", "SummaryHook", "TrackingHook"]
