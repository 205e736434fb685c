"""The comparison: every method of a table, from raw scans to the report."""

from slicefill.pipelines.comparison.pipeline import create_pipeline

__all__ = ["create_pipeline"]
