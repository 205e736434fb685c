"""The super-resolution pipeline."""

from slicefill.pipelines.super_resolution.pipeline import create_pipeline

__all__ = ["create_pipeline"]
