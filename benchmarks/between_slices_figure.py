"""Draws docs/img/between_slices.png: what ConResNet and the multi-planar U-Net learn from.

    python benchmarks/between_slices_figure.py docs/img/between_slices.png

Needs no data: a small ConResNet learns from six virtual subjects and sees a seventh. Minutes on one
core.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from monai.inferers import sliding_window_inference
from PIL import Image
from read_conf import short_setting
from scipy.ndimage import map_coordinates

from slicefill.geometry import slices_first
from slicefill.segmentation.engines import conresnet, find_engine
from slicefill.segmentation.engines.conresnet.losses import residual_target
from slicefill.segmentation.engines.multiplanar.planes import Lattice, orientations, sample
from slicefill.segmentation.interface import SegmentationData
from slicefill.segmentation.scans import Scan
from slicefill.simulation.virtual_subjects import LABEL_NAMES, virtual_subject
from slicefill.training.fit import Run, Stateless
from slicefill.types import Array, Checkpoint, Floats, Lazy

CLASSES = (0, *LABEL_NAMES)
CROP = (96, 112, 64)
TRAINING, SEEN, COLUMN = 6, 21, 40
STEPS, EPOCHS, FACTOR = 50, 8, 4
PATCH = (16, 48, 48)


def main() -> None:
    """Train, predict and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    scans = {str(seed): make_scan(seed) for seed in (*range(TRAINING), SEEN)}
    seen = scans.pop(str(SEEN))
    labels, changes = predict(train(scans, seen), seen)
    figure, axes = plt.subplots(2, 5, figsize=(10, 4.2))
    draw_changes(axes[0], seen, labels, changes)
    draw_planes(axes[1], seen)
    figure.tight_layout(pad=0.3)
    figure.savefig(out, dpi=80)
    Image.open(out).convert("RGB").quantize(64).save(out, optimize=True)


def make_scan(seed: int) -> Scan:
    """Simulate a subject, slices along S; every fourth slice counts as acquired."""
    case = virtual_subject(seed, CROP)
    shown = slices_first(case.image.intensities(), 2)
    shown = np.clip(shown / np.percentile(shown, 99.5), 0, 1)[:, None].astype(np.float32)
    label = slices_first(case.label.stored, 2).astype(np.int64)
    acquired = np.arange(len(label)) % FACTOR == 0
    return Scan(shown, label, np.ones(label.shape, np.float32), acquired, np.ones(3), 2)


def train(scans: dict[str, Scan], seen: Scan) -> Checkpoint:
    """Train the entry `conresnet` of conf/base, reduced."""
    setting = short_setting(
        LABEL_NAMES,
        {"conresnet": {"patch": list(PATCH)}},
        optimisation={"batch": 2, "epochs": EPOCHS, "steps_per_epoch": STEPS},
    )
    system = find_engine("conresnet", setting.params)
    promises = {name: Lazy(lambda scan=scan: scan, name) for name, scan in scans.items()}
    data = SegmentationData(promises, {"seen": Lazy(lambda: seen, "seen")}, CLASSES)
    run = Run(Stateless(), lambda values, epoch: print(epoch, values))
    return system.module.train(data, system.params, setting, run)


def predict(checkpoint: Checkpoint, seen: Scan) -> tuple[Array, Floats]:
    """Return label map and probability of a change of any object, `(D, H, W)` each."""
    network = conresnet.build(checkpoint["design"])
    network.load_state_dict(checkpoint["weights"])
    network.train()  # in training it returns its residual heads, too
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout3d):
            module.p = 0.0
    image = torch.from_numpy(seen.image.swapaxes(0, 1)[None].copy())

    def see(window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found, heads = network(window)
        return found, heads[0]

    with torch.inference_mode():
        logits, changes = sliding_window_inference(image, PATCH, 1, see, 0.5, mode="gaussian")
    return logits[0].argmax(0).numpy(), changes[0].sigmoid().amax(0).numpy()


def draw_changes(row: list[Axes], seen: Scan, labels: Array, changes: Floats) -> None:
    """Draw a sagittal cut: image, labels, target of the residual decoder, and both outputs."""
    truth = torch.from_numpy(seen.label)[None, None]
    target = residual_target(truth, torch.ones(truth.shape), len(CLASSES))[0][0].amax(0).numpy()
    panels = {
        "image": (seen.image[:, 0], "gray"),
        "labels": (seen.label, "viridis"),
        "change to the slice below": (target, "magma"),
        "its residual decoder": (changes, "magma"),
        "its segmentation": (labels, "viridis"),
    }
    for panel, (title, (values, colours)) in zip(row, panels.items(), strict=True):
        panel.imshow(values[:, COLUMN], cmap=colours, origin="lower")
        panel.set_title(title, fontsize=9)
        panel.set(xticks=[], yticks=[])
    row[0].set_ylabel("ConResNet", fontsize=9)


def draw_planes(row: list[Axes], seen: Scan) -> None:
    """Draw planes through the volume; where an acquired slice crosses, labels teach."""
    turns = [np.eye(3), *orientations(len(row) - 1, "none")]
    for index, (panel, turn) in enumerate(zip(row, turns, strict=True)):
        grid = Lattice(turn, seen.label.shape, seen.spacing, 1.0)
        middle = grid.sizes[0] // 2
        where = grid.box((middle, 0, 0), (1, *grid.sizes[1:]))[:, 0]
        shown = sample(seen.image.swapaxes(0, 1), where)[0]
        lines = np.broadcast_to(seen.acquired[:, None, None], seen.label.shape).astype(float)
        taught = map_coordinates(lines, where, order=0, mode="constant")
        panel.imshow(shown, cmap="gray", origin="lower")
        panel.imshow(np.ma.masked_less(taught, 1), cmap="autumn", origin="lower", alpha=0.35)
        panel.set_title("an acquired slice" if index == 0 else f"plane {index}", fontsize=9)
        panel.set(xticks=[], yticks=[])
    row[0].set_ylabel("multi-planar U-Net", fontsize=9)


if __name__ == "__main__":
    main()
