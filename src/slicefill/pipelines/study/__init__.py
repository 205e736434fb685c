"""The whole: from raw scans to the report. What `kedro run` does."""

from kedro.pipeline import Pipeline

from slicefill.pipelines import anisotropization, evaluation, imputation, ingestion, synthesis


def create_pipeline(**_: object) -> Pipeline:
    """Sum the pipelines of the main job."""
    parts = (ingestion, anisotropization, synthesis, imputation, evaluation)
    return sum((part.create_pipeline() for part in parts), Pipeline([]))
