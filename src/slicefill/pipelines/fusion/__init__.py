"""scans of one subject in several directions → one isotropic case of each, and how good it is."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import ingestion, stage
from slicefill.pipelines.fusion.intertwining import intertwine_networks
from slicefill.pipelines.fusion.learning import assemble_view_scans, train_aligners
from slicefill.pipelines.fusion.nodes import fuse_groups, register_groups
from slicefill.pipelines.fusion.scoring import draw_fusion, score_groups, tabulate_fusion
from slicefill.pipelines.fusion.segmenting import segment_views
from slicefill.pipelines.fusion.taking import take_training_views, take_views
from slicefill.pipelines.segmentation.nodes import train_segmenters


def create_pipeline(**_: object) -> Pipeline:
    """Build the fusion pipeline (`kedro run --pipelines=fusion`).

    With what it needs of a folder of scans; `--namespaces=fusion` leaves that out.
    """
    return ingestion.create_pipeline() + stage(
        "fusion", [*_segment(), *_align(), *_take(), *_fuse(), *_score()]
    )


def _segment() -> list[Node]:
    """Train the segmenters of views without label maps, where some row needs them."""
    return [
        Node(
            take_training_views,
            inputs=["cases", "manifest", "splits", "params:fusion"],
            outputs=["training_views", "training_groups"],
            name="take_training_views",
        ),
        Node(
            assemble_view_scans,
            inputs=[
                "training_views",
                "training_groups",
                "splits",
                "params:fusion",
                "params:augmentation",
                "params:imputation",
                "parameters",
            ],
            outputs="view_scans",
            name="assemble_view_scans",
        ),
        Node(
            train_segmenters,
            inputs=["view_scans", "view_states", "params:segmentation", "params:augmentation"],
            outputs="view_models",
            name="train_view_segmenters",
        ),
    ]


def _align() -> list[Node]:
    """Train what registers views, alone and with the segmenters, where some row needs it."""
    return [
        Node(
            train_aligners,
            inputs=[
                "training_views",
                "training_groups",
                "splits",
                "alignment_states",
                "params:fusion",
                "params:segmentation",
            ],
            outputs="alignment_models",
            name="train_aligners",
        ),
        Node(
            intertwine_networks,
            inputs=[
                "training_views",
                "training_groups",
                "splits",
                "view_models",
                "alignment_models",
                "intertwined_states",
                "params:fusion",
                "params:segmentation",
            ],
            outputs="intertwined_models",
            name="intertwine_networks",
        ),
    ]


def _take() -> list[Node]:
    """Take the views, register them, and segment those that have no label map."""
    return [
        Node(
            take_views,
            inputs=["cases", "manifest", "splits", "params:fusion"],
            outputs=["view_cases", "view_groups"],
            name="take_views",
        ),
        Node(
            register_groups,
            inputs=[
                "view_cases",
                "view_groups",
                "alignment_models",
                "intertwined_models",
                "params:fusion",
            ],
            outputs="registrations",
            name="register_groups",
        ),
        Node(
            segment_views,
            inputs=[
                "view_cases",
                "view_models",
                "intertwined_models",
                "params:fusion",
                "params:segmentation",
                "params:imputation",
                "parameters",
            ],
            outputs="view_predictions",
            name="segment_views",
        ),
    ]


def _fuse() -> list[Node]:
    return [
        Node(
            fuse_groups,
            inputs=[
                "view_cases",
                "view_groups",
                "registrations",
                "view_predictions",
                "params:fusion",
                "params:imputation",
                "parameters",
            ],
            outputs="fused_cases",
            name="fuse_groups",
        ),
    ]


def _score() -> list[Node]:
    return [
        Node(
            score_groups,
            inputs=["fused_cases", "cases", "view_groups", "params:fusion"],
            outputs="scored_fusions",
            name="score_groups",
        ),
        Node(
            tabulate_fusion,
            inputs=["scored_fusions", "registrations", "view_groups", "params:fusion"],
            outputs=["fusion_scores", "fusion_errors", "fusion_summary", "fusion_markdown"],
            name="tabulate_fusion",
        ),
        Node(
            draw_fusion,
            inputs=["fused_cases", "cases", "view_groups", "fusion_scores", "params:fusion"],
            outputs="fusion_figures",
            name="draw_fusion",
        ),
    ]
