"""The synthesis pipeline."""

from slicefill.pipelines.synthesis.pipeline import create_pipeline

__all__ = ["create_pipeline"]
