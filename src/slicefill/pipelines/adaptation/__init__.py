"""The adaptation pipeline."""

from slicefill.pipelines.adaptation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
