"""What fusion of simulated views reaches: Dice of true thick labels, PSNR of the fused image."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from scipy.ndimage import find_objects, map_coordinates
from tabulate import tabulate

from slicefill.fusion import find_fusion, fuse
from slicefill.grids.sampled import AlignedView, Box, sample
from slicefill.imputation.imputers import load_named
from slicefill.metrics.overlap import dice
from slicefill.params.imputation import imputation_params
from slicefill.registration import register
from slicefill.simulation.views import ViewsParams, simulate_views
from slicefill.types import Array, Case, Volume
from slicefill.views.canvas import lay_canvas
from slicefill.views.fused_image import fuse_images
from slicefill.views.gathering import impute_view

GROUPS = {"ventricle": 1, "thalamus": 2, "putamen": 4, "hippocampus": 6, "brain stem": 8}
_MARGIN = 16  # voxels around the groups in which labels are compared: a thick slice reaches so far
_ALONE, _TWO = ("axial",), ("axial", "coronal")
_THREE = ("axial", "coronal", "sagittal")
_LABELS: Mapping[str, tuple[Sequence[str], dict[str, Any]]] = {
    "axial alone": (_ALONE, {"kind": "gaussian"}),
    "vote of three": (_THREE, {"kind": "vote"}),
    "STAPLE of three": (_THREE, {"kind": "staple"}),
    "nearest slice of three": (_THREE, {"kind": "nearest"}),
    "Gaussian, two views": (_TWO, {"kind": "gaussian"}),
    "Gaussian, σ published": (_THREE, {"kind": "gaussian"}),
    "Gaussian, σ = 0.25 d": (_THREE, {"kind": "gaussian", "sigma": 0.25}),
    "Gaussian, σ = 0.125 d": (_THREE, {"kind": "gaussian", "sigma": 0.125}),
}
_IMAGES: Mapping[str, tuple[Sequence[str], float | None]] = {
    "axial alone": (_ALONE, None),
    "Gaussian, two views": (_TWO, None),
    "Gaussian, σ published": (_THREE, None),
    "Gaussian, σ = 0.25 d": (_THREE, 0.25),
    "Gaussian, σ = 0.125 d": (_THREE, 0.125),
}


@dataclass(frozen=True)
class FusionOptions:
    """What is fused and how.

    Attributes:
        methods: That impute the views before fusion.
        registration: Kind.
        voxel_offset: Of the reference's voxels beside those of the truth; 0.5 as the notes did.
        images: Whether images are fused and compared with SciPy, too.
    """

    methods: Sequence[str]
    registration: str
    voxel_offset: float
    images: bool


def measure(
    case: Case, slice_mm: float, options: FusionOptions, seed: int
) -> Iterator[dict[str, Any]]:
    """Yield a row of scores per method and way of fusion."""
    params = ViewsParams(slice_mm=slice_mm, field_mm=None, voxel_offset=options.voxel_offset)
    views = simulate_views(_grouped(case), params, seed)
    reference = views["axial"]
    entry = {"kind": options.registration}
    matrices = {
        plane: register(reference, view, entry) if plane != "axial" else np.eye(4)
        for plane, view in views.items()
    }
    grid = imputation_params(device="cpu", spacing=1.0)
    for method in options.methods:
        imputer = load_named(method, grid)
        aligned = {
            plane: impute_view(plane, view, matrices[plane], imputer, grid)
            for plane, view in views.items()
        }
        rows = {name: _label_scores(aligned, case, *row) for name, row in _LABELS.items()}
        if options.images:
            shown = _Truth(case, reference.record)
            for name, scores in _image_scores(views, matrices, aligned, shown).items():
                rows.setdefault(name, {}).update(scores)
        for name, scores in rows.items():
            yield {"method": method, "row": name, **scores}


def scores_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Table of mean Dice and PSNR by way of fusion, a pair of columns per method and distance."""
    columns = list(dict.fromkeys((row["method"], row["slice_mm"]) for row in rows))
    lines = []
    for name in dict.fromkeys(row["row"] for row in rows):
        cells = [name]
        for column in columns:
            own = [r for r in rows if r["row"] == name and (r["method"], r["slice_mm"]) == column]
            for what, digits in (("dice", 3), ("psnr", 2)):
                values = [row[what] for row in own if what in row]
                cells.append(f"{np.mean(values):.{digits}f}" if values else "")
        lines.append(cells)
    heads = [f"{m} {d:g} mm: {what}" for m, d in columns for what in ("Dice", "PSNR")]
    return tabulate(lines, ["", *heads], "github", disable_numparse=True)


def _grouped(case: Case) -> Case:
    if case.label is None:
        raise ValueError("expected labels")
    groups = list(GROUPS.values())
    kept = np.where(np.isin(case.label.stored, groups), case.label.stored, 0)
    return Case(case.image, case.label.with_stored(kept.astype(np.uint8)))


def _label_scores(
    aligned: Mapping[str, AlignedView], case: Case, planes: Sequence[str], rule: dict[str, Any]
) -> dict[str, float]:
    """Dice of the groups, and how much is missed and too much, on the voxels of the truth."""
    truth = _grouped(case).label
    if truth is None:
        raise ValueError("expected labels")
    box = _around(truth.stored)
    system = find_fusion(rule)
    sampled = [sample(aligned[plane], truth.affine, box) for plane in planes]
    label, real = fuse(sampled, system)[0], truth.stored[box]
    found = {name: (label == group, real == group) for name, group in GROUPS.items()}
    scores = {name: dice(*pair) for name, pair in found.items()}
    hits = [(float((a & b).sum()), int(a.sum()), int(b.sum())) for a, b in found.values()]
    return {
        "dice": float(np.mean(list(scores.values()))),
        "missed": float(np.mean([1 - both / b for both, _, b in hits])),
        "excess": float(np.mean([1 - both / max(a, 1) for both, a, _ in hits])),
        **scores,
    }


def _around(stored: Array) -> Box:
    box = find_objects((stored > 0).astype(np.uint8))[0]
    wide = [
        slice(max(0, each.start - _MARGIN), min(size, each.stop + _MARGIN))
        for each, size in zip(box, stored.shape, strict=True)
    ]
    return wide[0], wide[1], wide[2]


class _Truth:
    """The image as the reference's scanner would have shown it, without thick slices."""

    def __init__(self, case: Case, record: Mapping[str, Any]) -> None:
        values = case.image.intensities()
        low, width = values.min(), np.ptp(values)
        shown = low + record["gain"] * width * ((values - low) / width) ** record["gamma"]
        body = values > low
        self._shown = shown[body]
        self._peak = float(np.percentile(shown, 99.9) - low)
        self._points = nib.affines.apply_affine(case.image.affine, np.argwhere(body))

    def sampled(self, image: Volume, matrix: Array, order: int) -> Array:
        """Intensities at the voxels of the brain, `(n,)`.

        Args:
            image: Of a view, or fused.
            matrix: From the world of the reference to that of the image.
            order: Of the spline.
        """
        to_voxel = np.linalg.inv(image.affine) @ matrix
        places = nib.affines.apply_affine(to_voxel, self._points).T
        return map_coordinates(image.intensities(), places, order=order, mode="nearest")

    def psnr(self, found: Array) -> float:
        """PSNR in the brain, on the voxels of the truth, dB."""
        error = float(((found - self._shown) ** 2).mean(dtype=np.float64))
        return float(10 * np.log10(self._peak**2 / error))


def _image_scores(
    views: Mapping[str, Case],
    matrices: Mapping[str, Array],
    aligned: Mapping[str, AlignedView],
    shown: _Truth,
) -> dict[str, dict[str, float]]:
    """PSNR of images fused as the product does, and as users do without it: SciPy, and the mean.

    Of SciPy, with intensities as they are, or scaled to the reference as the product does.
    """
    rows = {}
    for name, (planes, sigma) in _IMAGES.items():
        own = [aligned[plane] for plane in planes]
        alike = {view.name: True for view in own[1:]}
        fused, told = fuse_images(lay_canvas(own, "reference"), own, alike, sigma)
        rows[name] = {"psnr": shown.psnr(shown.sampled(fused.image, np.eye(4), 1))}
    for order in (1, 3):
        values = {p: shown.sampled(view.image, matrices[p], order) for p, view in views.items()}
        for ending, scales in (("", {}), (", scaled", told["factor_and_offset"])):
            scaled = [
                scales.get(plane, (1.0, 0.0))[0] * each + scales.get(plane, (1.0, 0.0))[1]
                for plane, each in values.items()
            ]
            name = f"SciPy, order {order}, mean of three{ending}"
            rows[name] = {"psnr": shown.psnr(np.mean(scaled, axis=0))}
    return rows
