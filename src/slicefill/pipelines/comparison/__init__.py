"""raw scans → every method of a table: imputed, segmented, scored, compared, told in one report."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import (
    anisotropization,
    augmentation,
    ingestion,
    segmentation,
    stage,
    synthesis,
)
from slicefill.pipelines.comparison.images import score_imputed
from slicefill.pipelines.comparison.nodes import (
    draw_comparison,
    draw_overlays,
    impute_for_methods,
    list_methods,
    tabulate_comparison,
    write_comparison_report,
)
from slicefill.pipelines.imputation.nodes import verify_imputed


def create_pipeline(**_: object) -> Pipeline:
    """Build the comparison pipeline (`kedro run --pipelines=comparison`).

    The stages that it does for several methods at once are its own, under the same namespaces.
    """
    return sum(
        (
            ingestion.create_pipeline(),
            anisotropization.create_pipeline(),
            stage("synthesis", [_list_methods()]),
            synthesis.create_pipeline(names="compared_methods"),
            stage("imputation", _imputation()),
            augmentation.create_pipeline(),
            segmentation.create_compared(),
            stage("evaluation", _evaluation()),
        ),
        Pipeline([]),
    )


def _list_methods() -> Node:
    return Node(
        list_methods,
        inputs=["params:comparison", "parameters"],
        outputs="compared_methods",
        name="list_methods",
    )


def _imputation() -> list[Node]:
    return [
        Node(
            impute_for_methods,
            inputs=[
                "acquired_cases",
                "cases",
                "splits",
                "models",
                "params:imputation",
                "params:comparison",
                "parameters",
            ],
            outputs=["imputed_cases", "imputing_methods"],
            name="impute_for_methods",
        ),
        Node(
            verify_imputed,
            inputs=["imputed_cases", "acquired_cases", "imputing_methods", "params:executor"],
            outputs="verification",
            name="verify_imputed",
        ),
    ]


def _evaluation() -> list[Node]:
    return [_score_imputed(), _tabulate(), *_draw(), _report()]


def _score_imputed() -> Node:
    return Node(
        score_imputed,
        inputs=[
            "imputed_cases",
            "cases",
            "splits",
            "compared_methods",
            "params:segmentation.seeds",
            "params:comparison",
            "params:evaluation",
            "params:scoring",
        ],
        outputs="imputed_tables",
        name="score_imputed",
    )


def _tabulate() -> Node:
    return Node(
        tabulate_comparison,
        inputs=["segmentation_scores", "params:scoring", "params:comparison"],
        outputs=[
            "comparison_summary",
            "comparison_tests",
            "comparison_table",
            "comparison_markdown",
            "comparison_latex",
        ],
        name="tabulate_comparison",
    )


def _draw() -> list[Node]:
    return [
        Node(
            draw_comparison,
            inputs=["segmentation_scores", "segmentation_history", "params:comparison"],
            outputs="comparison_figures",
            name="draw_comparison",
        ),
        Node(
            draw_overlays,
            inputs=[
                "segmentation_scores",
                "predictions",
                "acquired_cases",
                "params:scoring",
                "params:comparison",
            ],
            outputs="overlay_figures",
            name="draw_overlays",
        ),
    ]


def _report() -> Node:
    return Node(
        write_comparison_report,
        inputs=[
            "segmentation_scores",
            "comparison_figures",
            "overlay_figures",
            "paper_tables",
            "parameters",
        ],
        outputs="comparison_report",
        name="write_comparison_report",
    )
