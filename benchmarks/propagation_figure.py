"""Draws docs/img/propagation.png: labels between two annotated slices of a virtual subject.

    python benchmarks/propagation_figure.py docs/img/propagation.png

Needs no data.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from slicefill.imputation.methods.classical import impute_classically
from slicefill.params.propagation import PropagationParams
from slicefill.propagation.propagate import propagate_case
from slicefill.simulation.virtual_subjects import virtual_subject
from slicefill.types import Array, Case, Stack

EVERY, FIRST, SEED = 8, 40, 1
SHOWN = (0, 2, 4, 6, 8)
COLOURS = {1: "tab:cyan", 2: "tab:orange", 3: "tab:red"}


def main() -> None:
    """Fill the labels both ways, and draw them beside the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    whole = virtual_subject(SEED)
    filled = propagate_case(_sparse(whole), PropagationParams(), every=EVERY)
    rows = {
        "true labels": whole.label.stored,
        "outlines alone": _by_outlines(whole.label.stored),
        "propagated": filled.label.stored,
    }
    _draw(whole, rows, parser.parse_args().out)


def _sparse(whole: Case) -> Case:
    kept = np.zeros_like(whole.label.stored)
    kept[..., ::EVERY] = whole.label.stored[..., ::EVERY]
    return replace(whole, label=whole.label.with_stored(kept))


def _by_outlines(label: Array) -> Array:
    slices = np.moveaxis(label, 2, 0)
    blank = np.zeros((len(slices[::EVERY]), 1, *slices.shape[1:]), np.float32)
    stack = Stack(blank, np.array([[0.0, 1]]), slices[::EVERY])
    made = impute_classically("shape_matched", stack, [n / EVERY for n in range(1, EVERY)]).label
    out = slices.copy()
    for interval, own in enumerate(made):
        out[interval * EVERY + 1 : (interval + 1) * EVERY] = own
    return np.moveaxis(out, 0, 2)


def _draw(whole: Case, rows: dict[str, Array], path: Path) -> None:
    figure, axes = plt.subplots(len(rows), len(SHOWN), figsize=(9, 5.9))
    for row, (name, label) in zip(axes, rows.items(), strict=True):
        for panel, offset in zip(row, SHOWN, strict=True):
            index = FIRST + offset
            panel.imshow(whole.image.stored[..., index].T, cmap="gray", origin="lower")
            for identity, colour in COLOURS.items():
                mask = np.equal(label[..., index].T, identity)
                if mask.any():
                    panel.contour(mask, [0.5], colors=colour, linewidths=0.7)
            panel.set(xticks=[], yticks=[])
            if row is axes[0]:
                panel.set_title("annotated" if offset % EVERY == 0 else f"+{offset}", fontsize=9)
        row[0].set_ylabel(name, fontsize=9)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=80, pil_kwargs={"optimize": True})
    Image.open(path).convert("RGB").quantize(48).save(path, optimize=True)


if __name__ == "__main__":
    main()
