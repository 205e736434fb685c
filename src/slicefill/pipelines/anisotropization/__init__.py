"""The anisotropization pipeline."""

from slicefill.pipelines.anisotropization.pipeline import create_pipeline

__all__ = ["create_pipeline"]
