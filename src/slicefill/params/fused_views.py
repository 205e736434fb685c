"""Parameters of the fusion pipeline: which views, and the ways to fuse them that are compared."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from slicefill.params.base import Count, Fraction, Params, StatisticsParams
from slicefill.params.fusion import FusionParams
from slicefill.simulation.views import ViewsParams
from slicefill.views.intertwined.params import IntertwinedParams

Masks = Literal["given", "network", "intertwined"]
INTERTWINED: Literal["intertwined"] = "intertwined"
"""What is trained as such: its masks, its registration, its model."""


class SegmenterParams(Params):
    """The network that segments views, where their label maps are not given."""

    network: str | None = Field(
        description="trained already, as segmentation.network; null: it is trained on the views of "
        "training subjects"
    )
    engine: str = Field(description="an entry of `segmentation.engines`")
    filled_by: str | None = Field(
        description="an entry of `methods`: what fills views before the network sees them; null: "
        "it sees acquired slices"
    )


class FusedMethod(Params):
    """One row of the table: which views are fused, and how."""

    title: str = Field(description="of the row")
    views: Count | None = Field(None, description="so many of the first views; null: all")
    registration: str = Field("rigid", description="an entry of `fusion.registrations`")
    imputed_by: str = Field("nearest", description="an entry of `methods`: what imputes each view")
    rule: dict[str, Any] = Field(
        {"kind": "gaussian"}, description="`kind`, a file of fusion/, and fields of its Params"
    )
    images: bool = Field(
        False, description="whether images are fused beside labels; without labels they always are"
    )
    masks: Masks | None = Field(
        None, description="whose label maps are fused; null: as `fusion.masks` says"
    )

    @field_validator("rule")
    @classmethod
    def _rule_exists(cls, entry: dict[str, Any]) -> dict[str, Any]:
        FusionParams(rule=entry)
        return entry


class FusedViewsParams(StatisticsParams):
    """Which views are fused, in which ways, and how the ways are compared."""

    simulate: ViewsParams | None = Field(
        description="how views are taken from isotropic scans, so that the truth is known; null: "
        "scans are views of one object where the manifest says so"
    )
    cases: Literal["test", "all"] = Field(description="of test subjects, or all")
    masks: Masks = Field(
        description="whose label maps are fused: those that views come with (given), or predicted "
        "ones, by a network or by one that has learned together with AlignNet (intertwined)"
    )
    segmenter: SegmenterParams
    intertwined: IntertwinedParams
    registrations: dict[str, dict[str, Any]] = Field(
        description="by name: `kind`, a file of registration/, and fields of its Params"
    )
    methods: dict[str, FusedMethod] = Field(description="rows of the table, by name", min_length=1)
    least_overlap: Fraction = Field(
        description="share of the reference's body inside a view: below, it is left out"
    )
    least_similarity: Fraction = Field(
        description="of an aligned view with the reference: below, it is left out"
    )
    least_crossing: Fraction = Field(
        description="correlation where acquired slices cross: below, a view is left out"
    )
    field: Literal["reference", "union"] = Field(
        description="what a fused case covers: the field of the reference, or that of any view"
    )
    keep_given: bool = Field(
        description="acquired slices of the reference keep the labels that they came with"
    )
    label_names: dict[int, str] = Field(description="id → name; 0, the background, is not scored")
    plotted: list[str] = Field(description="columns of scores in the box plots")
    figure_cases: Count = Field(description="groups of views drawn in full")

    @field_validator("registrations")
    @classmethod
    def _registrations_exist(cls, entries: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for entry in entries.values():
            FusionParams(registration=entry)
        return entries

    @model_validator(mode="after")
    def _registrations_are_defined(self) -> Self:
        if INTERTWINED in self.registrations:
            msg = f"registrations: expected another name than {INTERTWINED}, which is taken"
            raise ValueError(msg)
        for name, method in self.methods.items():
            if method.registration not in self.registrations:
                msg = (
                    f"methods.{name}.registration: expected one of "
                    f"{', '.join(self.registrations)}, got {method.registration}"
                )
                raise ValueError(msg)
        if self.fuses(INTERTWINED):
            self._require_aligner()
        return self

    def _require_aligner(self) -> None:
        entry = self.registrations.get(self.intertwined.registration, {})
        if entry.get("kind") != "alignnet":
            msg = (
                f"intertwined.registration: expected an entry of registrations of kind alignnet, "
                f"got {self.intertwined.registration}"
            )
            raise ValueError(msg)

    @property
    def trains(self) -> bool:
        """Whether anything is trained on the views of training subjects."""
        own = self.segmenter.network is None and self.fuses("network")
        learned = any(self.learns(name) for name in self.used_registrations)
        return own or learned or self.fuses(INTERTWINED)

    @property
    def used_registrations(self) -> list[str]:
        """Registrations that rows of more than one view name, and what those begin with."""
        used = {method.registration for method in self.methods.values() if method.views != 1}
        if self.fuses(INTERTWINED):
            used.add(self.intertwined.registration)
        return [name for name in self.registrations if name in used]

    def registered_by(self, method: FusedMethod) -> str:
        """Return what registers the views of a row: of intertwined masks, the network beside it."""
        own = self.masks_of(method) == INTERTWINED
        together = own and method.registration == self.intertwined.registration
        return INTERTWINED if together else method.registration

    def learns(self, registration: str) -> bool:
        """Whether a registration is trained on views before it registers any."""
        from slicefill.plugins import find_system
        from slicefill.registration import FOLDER

        entry = self.registrations[registration]
        system = find_system(FOLDER, f"fusion.registrations.{registration}", entry)
        return system.has("train") and system.params.network is None

    def masks_of(self, method: FusedMethod) -> Masks:
        """Return whose label maps a row fuses."""
        return method.masks or self.masks

    def fuses(self, *masks: Masks) -> bool:
        """Whether some row fuses label maps of one of these kinds."""
        return any(self.masks_of(method) in masks for method in self.methods.values())

    def of(self, method: FusedMethod) -> FusionParams:
        """Return how a row is fused, as the library takes it; only given labels are kept."""
        return FusionParams(
            registration=self.registrations[method.registration],
            rule=method.rule,
            least_overlap=self.least_overlap,
            least_similarity=self.least_similarity,
            least_crossing=self.least_crossing,
            field=self.field,
            keep_given=self.keep_given and self.masks_of(method) == "given",
        )
