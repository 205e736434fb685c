"""The augmentation pipeline."""

from slicefill.pipelines.augmentation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
