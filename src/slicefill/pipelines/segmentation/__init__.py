"""scans → networks → predictions on the imputed grid → scores on acquired slices."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import stage
from slicefill.pipelines.segmentation.nodes import (
    audit_predictions,
    record_learning,
    score_predictions,
    train_segmenters,
)
from slicefill.pipelines.segmentation.prediction import predict_cases


def create_pipeline(**_: object) -> Pipeline:
    """Build the segmentation pipeline (`kedro run --pipelines=augmentation,segmentation`)."""
    return stage("segmentation", [*_learning(), *_scoring()])


def _learning() -> list[Node]:
    return [
        Node(
            train_segmenters,
            inputs=[
                "scans",
                "segmentation_states",
                "params:segmentation",
                "params:augmentation",
            ],
            outputs="segmentation_models",
            name="train_segmenters",
        ),
        Node(
            record_learning,
            inputs=["segmentation_models", "scans", "params:segmentation"],
            outputs="segmentation_history",
            name="record_learning",
        ),
    ]


def _scoring() -> list[Node]:
    return [
        Node(
            predict_cases,
            inputs=[
                "segmentation_models",
                "scans",
                "splits",
                "acquired_cases",
                "models",
                "params:segmentation",
                "params:comparison",
                "parameters",
            ],
            outputs=["predictions", "prediction_index"],
            name="predict_cases",
        ),
        Node(
            score_predictions,
            inputs=[
                "predictions",
                "prediction_index",
                "acquired_cases",
                "cases",
                "params:scoring",
                "params:executor",
            ],
            outputs=["segmentation_scores", "unscored_predictions"],
            name="score_predictions",
        ),
        Node(
            audit_predictions,
            inputs=["predictions", "prediction_index", "acquired_cases", "params:audits"],
            outputs="audit_table",
            name="audit_predictions",
        ),
    ]
