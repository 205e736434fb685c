"""acquired and imputed cases → the manifest of their slices, and scans as networks see them."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import stage
from slicefill.pipelines.augmentation.nodes import assemble_scans, list_slices


def create_pipeline(**_: object) -> Pipeline:
    """Build the augmentation pipeline (`kedro run --pipelines=augmentation`)."""
    return stage(
        "augmentation",
        [
            Node(
                list_slices,
                inputs=[
                    "acquired_cases",
                    "imputed_cases",
                    "splits",
                    "params:augmentation",
                    "params:comparison",
                    "compared_methods",
                    "params:segmentation.seeds",
                ],
                outputs="slice_manifest",
                name="list_slices",
            ),
            Node(
                assemble_scans,
                inputs=["slice_manifest", "acquired_cases", "imputed_cases", "params:augmentation"],
                outputs="scans",
                name="assemble_scans",
            ),
        ],
    )
