"""imputed cases + cases → the bias of synthetic labels beside damaged true ones, a report."""

from kedro.pipeline import Node, Pipeline

from slicefill.pipelines import stage
from slicefill.pipelines.audit.nodes import audit_synthetic_labels, draw_audit, write_audit


def create_pipeline(**_: object) -> Pipeline:
    """Build the audit pipeline (`kedro run --pipelines=audit`)."""
    return stage(
        "audit",
        [
            Node(
                audit_synthetic_labels,
                inputs=["imputed_cases", "cases", "splits", "params:label_audit"],
                outputs=["label_audit", "label_audit_summary", "unaudited"],
                name="audit_synthetic_labels",
            ),
            Node(
                draw_audit,
                inputs="label_audit_summary",
                outputs="label_audit_figures",
                name="draw_audit",
            ),
            Node(
                write_audit,
                inputs=["label_audit_summary", "label_audit_figures", "parameters"],
                outputs="label_audit_report",
                name="write_audit",
            ),
        ],
    )
