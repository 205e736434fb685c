"""raw scans → a network on acquired slices → labels of every scan, isotropic if asked for."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import anisotropization, ingestion, stage
from slicefill.pipelines.segmentation.nodes import (
    audit_predictions,
    record_learning,
    score_predictions,
    train_segmenters,
)
from slicefill.pipelines.segmentation.own import assemble_acquired, segment_scans
from slicefill.pipelines.segmentation.prediction import predict_cases


def create_pipeline(**_: object) -> Pipeline:
    """Build the segmentation pipeline (`kedro run --pipelines=segmentation`).

    With what it needs of a folder of scans; `--namespaces=segmentation` leaves that out.
    """
    return (
        ingestion.create_pipeline()
        + anisotropization.create_pipeline()
        + stage("segmentation", [_assemble(), _train("acquired_scans"), _segment()])
    )


def create_compared() -> Pipeline:
    """Build the stage of a comparison: networks of all methods, predictions, scores."""
    return stage("segmentation", [*_learning(), *_scoring()])


def _assemble() -> Node:
    return Node(
        assemble_acquired,
        inputs=[
            "acquired_cases",
            "splits",
            "params:augmentation",
            "params:comparison",
            "params:segmentation",
        ],
        outputs="acquired_scans",
        name="assemble_acquired",
    )


def _train(scans: str) -> Node:
    return Node(
        train_segmenters,
        inputs=[scans, "segmentation_states", "params:segmentation", "params:augmentation"],
        outputs="segmentation_models",
        name="train_segmenters",
    )


def _segment() -> Node:
    return Node(
        segment_scans,
        inputs=[
            "acquired_cases",
            "acquired_scans",
            "segmentation_models",
            "models",
            "params:segmentation",
            "params:imputation",
            "parameters",
        ],
        outputs="segmentations",
        name="segment_scans",
    )


def _learning() -> list[Node]:
    return [
        _train("scans"),
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
