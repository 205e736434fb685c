"""scans of one subject in several directions → one isotropic case of each, and how good it is."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import ingestion, stage
from slicefill.pipelines.fusion.nodes import fuse_groups, register_groups, take_views
from slicefill.pipelines.fusion.scoring import draw_fusion, score_groups, tabulate_fusion


def create_pipeline(**_: object) -> Pipeline:
    """Build the fusion pipeline (`kedro run --pipelines=fusion`).

    With what it needs of a folder of scans; `--namespaces=fusion` leaves that out.
    """
    return ingestion.create_pipeline() + stage("fusion", [*_fuse(), *_score()])


def _fuse() -> list[Node]:
    return [
        Node(
            take_views,
            inputs=["cases", "manifest", "splits", "params:fusion"],
            outputs=["view_cases", "view_groups"],
            name="take_views",
        ),
        Node(
            register_groups,
            inputs=["view_cases", "view_groups", "params:fusion"],
            outputs="registrations",
            name="register_groups",
        ),
        Node(
            fuse_groups,
            inputs=[
                "view_cases",
                "view_groups",
                "registrations",
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
