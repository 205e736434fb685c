"""isotropic cases → super-resolution models, the baselines of the paper's Table I."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import stage
from slicefill.pipelines.super_resolution.nodes import train_super_resolution


def create_pipeline(**_: object) -> Pipeline:
    """Build the super-resolution pipeline (`kedro run --pipelines=super_resolution`)."""
    return stage(
        "super_resolution",
        [
            Node(
                train_super_resolution,
                inputs=[
                    "cases",
                    "splits",
                    "super_resolution_states",
                    "params:super_resolution",
                    "params:comparison",
                ],
                outputs="super_resolution_models",
                name="train_super_resolution",
            )
        ],
    )
