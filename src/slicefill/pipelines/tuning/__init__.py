"""The tuning pipeline."""

from slicefill.pipelines.tuning.pipeline import create_pipeline

__all__ = ["create_pipeline"]
