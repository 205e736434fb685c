"""The study pipeline."""

from slicefill.pipelines.study.pipeline import create_pipeline

__all__ = ["create_pipeline"]
