"""The metrics, a KIND: a file of this folder that measures something declares its `METRICS`.

A metric is one function and, beside it, its `Metric`: what it is called, in which unit, what value
is best. Scores, summaries, tests, tables and figures follow from that.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, get_args

from slicefill.plugins import find_kind, list_kinds

if TYPE_CHECKING:
    import pandas as pd

Compared = Literal["images", "labels", "predictions", "fusions", "confidence"]
REAL = "real"
"""Row of real slices that are compared with real ones: the control of metrics per set."""
ALL_SLICES = "_all_slices"
"""End of the columns that count copied acquired slices: for comparison with papers only."""


@dataclass(frozen=True, eq=False)
class DescribedSet:
    """What `describe` returned of a set of cases, by subject, for a metric that asks whose it is.

    Attributes:
        cases: Of the cases that are scored.
        training: Of the others, whose slices a method may have been trained on; empty where
            nothing is known of them.
    """

    cases: Mapping[str, Sequence[Any]]
    training: Mapping[str, Sequence[Any]] = field(default_factory=dict)


Control = Callable[[DescribedSet], DescribedSet]


@dataclass(frozen=True, eq=False)
class Metric:
    """What is measured, and how it reads.

    Attributes:
        name: First part of its columns in the table of scores: `psnr` of `psnr_body`.
        compute: Per case, of images: `(pair: ImagePair, mask) -> float`, one channel of a case
            and the voxels that count. Of labels and predictions: `(pair: MaskPair) -> float`, one
            label of a case. Of confidence: `(known: ConfidenceErrors) -> float`. Per set:
            `(described: list) -> float`, what `describe` returned of all channels of all cases.
            nan: it could not be measured.
        label: Its name in text.
        of: What it compares: the `images` or the `labels` of synthetic slices, the `predictions`
            of a segmentation network on acquired slices, the `fusions` of several views, or the
            `confidence` in synthetic voxels (each with the truth).
        better: `higher`; `lower`; or `nearer` to the ideal, from either side.
        ideal: The best value.
        unit: Empty for a number without one.
        regions: Of images, where voxels count, as in `ImagePair.masks`: `body`, `field`,
            `all_slices`, or `""` (the body in all slices; the column has no second part). Of
            labels and predictions: `each` label and their `mean`.
        digits: Decimals in a table of fixed form.
        percent: Whether such a table has it in percent.
        per: `case`, or a whole `set` of cases against their truths.
        describe: Of a metric per set: `(pair: ImagePair, mask) -> array`, the little that is kept
            of one channel of one case; of labels `(labels: Mapping[str, MaskPair]) -> array`.
        by_subject: Of a metric per set: `compute` receives a `DescribedSet` instead of a list.
        control: Of a metric by subject: puts real slices in the place of synthetic ones, for the
            row `real` of the table, which is what a perfect method would score.
        on_request: Measured only where `evaluation.metrics` names it, as it takes long; of
            predictions: where `scoring.metrics` does, as it says something of small objects alone.
        tested: Whether methods are tested against each other by it.
        magnitude: Of a signed metric: the metric that is tested in its place where it is there.
    """

    name: str
    compute: Callable[..., float]
    label: str
    of: tuple[Compared, ...]
    better: Literal["higher", "lower", "nearer"]
    ideal: float
    unit: str = ""
    regions: tuple[str, ...] = ()
    digits: int = 3
    percent: bool = False
    per: Literal["case", "set"] = "case"
    describe: Callable[..., Any] | None = None
    by_subject: bool = False
    control: Control | None = None
    on_request: bool = False
    tested: bool = True
    magnitude: str = ""

    def __post_init__(self) -> None:
        for field_name, values, known in [
            ("of", self.of, get_args(Compared)),
            ("better", (self.better,), ("higher", "lower", "nearer")),
            ("per", (self.per,), ("case", "set")),
        ]:
            if isinstance(values, str) or not {*values} <= {*known}:
                msg = f"metric {self.name}: {field_name}: expected {known}, got {values!r}"
                raise ValueError(msg)
        named = getattr(self.describe, "__qualname__", "<lambda>")
        if self.describe is not None and "<lambda>" in named:
            msg = f"metric {self.name}: describe: expected a function with a name (def)"
            raise ValueError(msg)
        if (self.per == "set") != (self.describe is not None):
            msg = f"metric {self.name}: expected `describe` if and only if it is per set"
            raise ValueError(msg)
        if self.per == "set" and self.of not in (("images",), ("labels",)):
            msg = f"metric {self.name}: expected a set of images or of labels, got {self.of}"
            raise ValueError(msg)
        if self.per == "set" and "labels" in self.of:
            object.__setattr__(self, "regions", ("",))
        if not self.regions:
            usual = ("body",) if "images" in self.of else ("each", "mean")
            object.__setattr__(self, "regions", usual)

    @property
    def direction(self) -> str:
        """Which value is better, in words."""
        told = {"higher": "Higher is better", "lower": "Lower is better"}
        return told.get(self.better, f"Best is {self.ideal:g}")

    @property
    def told_unit(self) -> str:
        """What stands in brackets behind its label: the unit, and an ideal that is not plain."""
        is_ratio = self.better == "nearer" and self.ideal != 0
        return ", ".join([self.unit] * bool(self.unit) + [f"ideal {self.ideal:g}"] * is_ratio)

    @property
    def heading(self) -> str:
        """Column heading of a table of fixed form."""
        unit = "%" if self.percent else self.told_unit
        return f"{self.label} ({unit})" if unit else self.label

    def measure(self, *given: Any) -> float:
        """Compute its value.

        Raises:
            TypeError: If it is no number.
        """
        value = self.compute(*given)
        if not isinstance(value, Real):
            msg = f"metric {self.name}: expected compute to return a number, got {value!r}"
            raise TypeError(msg)
        return float(value)

    def write(self, value: float) -> str:
        """Write a value in fixed form, with its sign where the metric is signed."""
        sign = "+" if self.better == "nearer" and self.ideal == 0 else ""
        return f"{value * (100 if self.percent else 1):{sign}z.{self.digits}f}"

    def merit(self, values: "pd.Series") -> "pd.Series":
        """Turn values into such of which more is better: minus the distance to the ideal.

        Example:
            >>> import pandas as pd
            >>> find_metric("gradient_ratio").merit(pd.Series([0.75, 1.5])).tolist()
            [-0.25, -0.5]
        """
        return values if self.better == "higher" else -(values - self.ideal).abs()

    def column(self, region: str) -> str:
        """Name its column of a region or label."""
        return f"{self.name}_{region}" if region else self.name


def list_metrics(of: Compared | None = None, per: str | None = None) -> list[Metric]:
    """List the metrics that the files of this folder declare.

    Args:
        of: Only those that compare this.
        per: Only those per `case`, or per `set`.

    Raises:
        ValueError: If two metrics share a name.
    """
    known = _collect(tuple(__path__))
    return [
        each for each in known if (of is None or of in each.of) and (per is None or each.per == per)
    ]


def list_set_metrics(requested: Sequence[str] = ()) -> list[Metric]:
    """List the metrics per set that are measured: all but those on request, and those requested.

    Args:
        requested: Names, or their first words: `c2st` is `c2st_in_plane` and `c2st_reformatted`.

    Raises:
        ValueError: If one of the requested is no metric on request, with the list of them.
    """
    return _asked(list_metrics(per="set"), requested, "evaluation.metrics")


def list_prediction_metrics(requested: Sequence[str] = ()) -> list[Metric]:
    """List the metrics of predictions that are measured: all but those on request, and those.

    Args:
        requested: As `scoring.metrics`: names, or their first words.

    Raises:
        ValueError: If one of the requested is no metric on request, with the list of them.
    """
    return _asked(list_metrics("predictions"), requested, "scoring.metrics")


def _asked(known: Sequence[Metric], requested: Sequence[str], parameter: str) -> list[Metric]:
    offered = [metric.name for metric in known if metric.on_request]
    for word in requested:
        if not any(_begins(name, word) for name in offered):
            msg = f"{parameter}: expected some of {', '.join(offered)}, got {word!r}"
            raise ValueError(msg)
    asked = {name for name in offered for word in requested if _begins(name, word)}
    return [metric for metric in known if not metric.on_request or metric.name in asked]


def _begins(name: str, word: str) -> bool:
    return name == word or name.startswith(f"{word}_")


def match_metric(column: str) -> Metric | None:
    """Return the metric of a column, `<metric>` or `<metric>_<region>`; None if it has none."""
    named = (m for m in list_metrics() if column == m.name or column.startswith(f"{m.name}_"))
    return max(named, key=lambda metric: len(metric.name), default=None)


def find_metric(column: str) -> Metric:
    """Return the metric of a column.

    Raises:
        ValueError: If there is none.

    Example:
        >>> find_metric("volume_bias_abs_mean").name, find_metric("dice_liver").direction
        ('volume_bias_abs', 'Higher is better')
    """
    metric = match_metric(column)
    if metric is None:
        known = ", ".join(each.name for each in list_metrics())
        msg = f"{column!r} is no metric: expected a name that begins with one of {known}"
        raise ValueError(msg)
    return metric


def measured(columns: Iterable[str]) -> list[str]:
    """Return those of the columns of a table of scores that are of a metric, in their order."""
    return [str(column) for column in columns if match_metric(str(column))]


def metric_label(column: str) -> str:
    """Spell a column of a table of scores out, with the unit in brackets.

    Args:
        column: `<metric>` or `<metric>_<region or label>`. What is of no metric is shown as it is.

    Example:
        >>> metric_label("psnr_body"), metric_label("gradient_ratio"), metric_label("dice_anterior")
        ('PSNR, body (dB)', 'gradient ratio (ideal 1)', 'Dice, anterior')
    """
    metric = match_metric(column)
    if metric is None:
        return column.replace("_", " ")
    region = column[len(metric.name) + 1 :].replace("_", " ")
    told = f"{metric.label}, {region}" if region else metric.label
    return f"{told} ({metric.told_unit})" if metric.told_unit else told


@cache
def _collect(path: tuple[str, ...]) -> tuple[Metric, ...]:
    """Return what the files of these folders declare."""
    found: list[Metric] = []
    taken: set[str] = set()
    for file in list_kinds(__name__):
        for metric in getattr(find_kind(__name__, file), "METRICS", ()):
            own = {metric.name, *(metric.column(region) for region in metric.regions)}
            if twice := taken & own:
                msg = f"metrics/{file}.py: there is another metric {min(twice)}: rename one"
                raise ValueError(msg)
            taken |= own
            found.append(metric)
    return tuple(found)
