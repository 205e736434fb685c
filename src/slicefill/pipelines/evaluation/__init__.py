"""imputed cases + cases → scores per case, tables, statistics, figures, one HTML report."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import stage
from slicefill.pipelines.evaluation.nodes import (
    draw_figures,
    evaluate_cases,
    summarise_evaluation,
    tabulate_scores,
    write_report,
)
from slicefill.reporting.evaluation_tables import tabulate_adaptation


def create_pipeline(**_: object) -> Pipeline:
    """Build the evaluation pipeline (`kedro run --pipelines=evaluation`)."""
    return stage("evaluation", [*_score(), *_tabulate(), *_report()])


def _score() -> list[Node]:
    return [
        Node(
            evaluate_cases,
            inputs=["imputed_cases", "cases", "splits", "params:evaluation"],
            outputs="evaluated_cases",
            name="evaluate_cases",
        ),
        Node(
            tabulate_scores,
            inputs=["evaluated_cases", "imputed_cases", "splits", "params:evaluation"],
            outputs=[
                "scores",
                "unscored",
                "set_scores",
                "realism_ellipses",
                "slice_confidence",
                "risk_coverage",
                "case_figures",
            ],
            name="tabulate_scores",
        ),
    ]


def _tabulate() -> list[Node]:
    return [
        Node(
            tabulate_adaptation,
            inputs="models",
            outputs="adaptation_gains",
            name="tabulate_adaptation",
        ),
        Node(
            summarise_evaluation,
            inputs=[
                "scores",
                "set_scores",
                "imputing_methods",
                "params:variant",
                "params:evaluation",
            ],
            outputs=[
                "evaluation_summary",
                "comparisons",
                "evaluation_table",
                "evaluation_markdown",
            ],
            name="summarise_evaluation",
        ),
    ]


def _report() -> list[Node]:
    return [
        Node(
            draw_figures,
            inputs=[
                "imputed_cases",
                "scores",
                "risk_coverage",
                "realism_ellipses",
                "models",
                "params:evaluation",
            ],
            outputs="figures",
            name="draw_figures",
        ),
        Node(
            write_report,
            inputs=[
                "evaluation_summary",
                "comparisons",
                "slice_confidence",
                "adaptation_gains",
                "ingestion_report",
                "case_figures",
                "figures",
                "parameters",
            ],
            outputs="report",
            name="write_report",
        ),
    ]
