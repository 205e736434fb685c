"""The imputation pipeline."""

from slicefill.pipelines.imputation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
