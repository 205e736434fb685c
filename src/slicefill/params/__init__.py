"""Typed parameters: one frozen model per pipeline; every number comes from `conf/`.

Kedro builds these before any node runs, so an unknown key or a value out of bounds stops
the run at once with the name of the field.
"""

from slicefill.params.base import (
    SERIAL,
    AxisName,
    EvaluationParams,
    ExecutorParams,
    HardwareParams,
    ScoreParams,
    StatisticsParams,
    TrackingParams,
    WindowParams,
    as_plain,
)
from slicefill.params.comparison import (
    ACQUIRED_ONLY,
    ORACLE,
    REPEAT,
    ComparedMethod,
    ComparisonParams,
    Preset,
    ScoringParams,
    Way,
)
from slicefill.params.imputation import (
    CautionParams,
    ConfidenceParams,
    EndParams,
    ImputationParams,
)
from slicefill.params.ingestion import IngestionParams, LabelParams, SplitParams
from slicefill.params.label_audit import LabelAuditParams
from slicefill.params.pretraining import CalibrationParams, PretrainingParams
from slicefill.params.segmentation import (
    AugmentationParams,
    InferenceParams,
    PredictionParams,
    ScanParams,
    SegmentationOptimisation,
    SegmentationParams,
)
from slicefill.params.tuning import Choices, Range, TuningParams

__all__ = [
    "ACQUIRED_ONLY",
    "ORACLE",
    "REPEAT",
    "SERIAL",
    "AugmentationParams",
    "AxisName",
    "CalibrationParams",
    "CautionParams",
    "Choices",
    "ComparedMethod",
    "ComparisonParams",
    "ConfidenceParams",
    "EndParams",
    "EvaluationParams",
    "ExecutorParams",
    "HardwareParams",
    "ImputationParams",
    "InferenceParams",
    "IngestionParams",
    "LabelAuditParams",
    "LabelParams",
    "PredictionParams",
    "Preset",
    "PretrainingParams",
    "Range",
    "ScanParams",
    "ScoreParams",
    "ScoringParams",
    "SegmentationOptimisation",
    "SegmentationParams",
    "SplitParams",
    "StatisticsParams",
    "TrackingParams",
    "TuningParams",
    "Way",
    "WindowParams",
    "as_plain",
]
