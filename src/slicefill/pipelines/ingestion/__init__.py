"""raw scans → cases, manifest, splits, and the report on what was refused."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import stage
from slicefill.pipelines.ingestion.nodes import check_raw_cases, import_cases, split_manifest


def create_pipeline(**_: object) -> Pipeline:
    """Build the ingestion pipeline (`kedro run --pipelines=ingestion`)."""
    return stage(
        "ingestion",
        [
            Node(
                check_raw_cases,
                inputs=["raw_folder", "params:ingestion"],
                outputs=["manifest", "ingestion_report"],
                name="check_raw_cases",
            ),
            Node(
                split_manifest,
                inputs=["manifest", "params:ingestion"],
                outputs="splits",
                name="split_manifest",
            ),
            Node(
                import_cases,
                inputs=["raw_folder", "manifest", "params:ingestion"],
                outputs="cases",
                name="import_cases",
            ),
        ],
    )
