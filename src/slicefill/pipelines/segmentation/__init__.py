"""The segmentation pipeline."""

from slicefill.pipelines.segmentation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
