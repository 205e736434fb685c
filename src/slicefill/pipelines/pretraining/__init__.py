"""The pretraining pipeline."""

from slicefill.pipelines.pretraining.pipeline import create_pipeline

__all__ = ["create_pipeline"]
