"""filled cases + cases → scores per case, tables, statistics, figures, one HTML report."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines.evaluation.nodes import (
    draw_figures,
    score_cases,
    summarise_scores,
    write_report,
)


def create_pipeline(**_: object) -> Pipeline:
    """Build the evaluation pipeline (`kedro run --pipelines=evaluation`)."""
    return Pipeline(
        [
            Node(
                score_cases,
                inputs=["filled_cases", "cases", "splits", "params:evaluation"],
                outputs="scores",
                name="score_cases",
            ),
            Node(
                summarise_scores,
                inputs=["scores", "params:evaluation"],
                outputs=[
                    "evaluation_summary",
                    "comparisons",
                    "evaluation_table",
                    "evaluation_markdown",
                ],
                name="summarise_scores",
            ),
            Node(
                draw_figures,
                inputs=["filled_cases", "cases", "scores", "synthesis_models", "params:evaluation"],
                outputs="figures",
                name="draw_figures",
            ),
            Node(
                write_report,
                inputs=[
                    "evaluation_summary",
                    "comparisons",
                    "ingestion_report",
                    "figures",
                    "parameters",
                ],
                outputs="report",
                name="write_report",
            ),
        ],
        tags="evaluation",
    )
