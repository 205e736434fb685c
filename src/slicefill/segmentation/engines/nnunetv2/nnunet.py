"""nnU-Net v2, the library itself, as a segmentation engine (`pip install slicefill[nnunet]`).

Isensee et al., nnU-Net: a self-configuring method for deep learning-based biomedical image
segmentation, Nature Methods 18 (2021).
"""

import contextlib
import importlib.util
import io
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from slicefill import __version__
from slicefill.params import HardwareParams, PredictionParams
from slicefill.segmentation.engines.nnunetv2 import Params
from slicefill.segmentation.engines.nnunetv2.files import (
    DATASET,
    collect_checkpoint,
    export_raw,
    write_split,
)
from slicefill.segmentation.interface import Predictor, SegmentationData, Setting
from slicefill.segmentation.scans import Scan
from slicefill.training.fit import Run
from slicefill.training.hardware import make_fabric
from slicefill.types import Checkpoint, Floats

logger = logging.getLogger(__name__)

PREPARE = (
    "from nnunetv2.experiment_planning.plan_and_preprocess_entrypoints import "
    "plan_and_preprocess_entry as run; run()"
)
# nnU-Net has no seed of its own.
TRAIN = (
    "import random, sys, numpy, torch; seed = int(sys.argv.pop(1)); random.seed(seed); "
    "numpy.random.seed(seed); torch.manual_seed(seed); "
    "from nnunetv2.run.run_training import run_training_entry as run; run()"
)
LAST_LINES = 30


def train_nnunet(data: SegmentationData, params: Params, setting: Setting, run: Run) -> Checkpoint:
    """Let nnU-Net plan, preprocess and train in processes of its own.

    Its files lie in a temporary folder (`TMPDIR` says where) until it is done. What nnU-Net
    decides itself is not ours to set: augmentation, optimisation, patch size, precision, and by
    the trainer class the number of epochs. It knows no loss weights: every voxel of weight above
    0 counts in full, one of weight 0 not at all. Its plans see validation scans too, as in its
    own cross-validation. Interrupted training starts anew; the state keeper of the run is not
    used. On the CPU with `processes: 1` a seed gives the same network again; more processes,
    which a GPU needs to be kept busy, augment beside the training in an order that varies.

    Args:
        data: Scans for training and for validation.
        params: Trainer, configuration, processes.
        setting: Seed and hardware.
        run: Its reporter is called for every epoch once training is over.

    Returns:
        The network of the last epoch, with the plans that make it usable; `validation` holds its
        mean Dice over validation cases and classes, on acquired slices.

    Raises:
        ModuleNotFoundError: If nnU-Net is not installed.
        ValueError: If it has no trainer of that name, or the data no labelled cases.
        RuntimeError: If it fails, with the end of its output.
    """
    hardware = setting.params.hardware
    _require_trainer(params.trainer)
    with tempfile.TemporaryDirectory(prefix="slicefill-nnunet-") as folder:
        work = Path(folder)
        split = export_raw(data, work / "nnUNet_raw" / DATASET)
        environment = _environment(work, params)
        processes, dataset = str(params.processes), DATASET.removeprefix("Dataset")[:3]
        sizes = ["-np", processes, "-npfp", processes, "--verify_dataset_integrity"]
        _execute([PREPARE, "-d", dataset, "-c", params.configuration, *sizes], environment)
        write_split(split, work)
        where = ["-device", _device(hardware), "-num_gpus", str(hardware.devices)]
        what = [dataset, params.configuration, "0", "-tr", params.trainer]
        if params.processes == 1:  # the training process augments by itself; planning refuses 0
            environment["nnUNet_n_proc_DA"] = "0"
        _execute([TRAIN, str(setting.seed), *what, *where], environment)
        made = collect_checkpoint(work)
    _report(made["history"], run)
    return {
        "engine": "nnunetv2",
        **made,
        "classes": list(data.classes),
        "seed": setting.seed,
        "version": __version__,
    }


def load_nnunet(checkpoint: Checkpoint, params: PredictionParams) -> Predictor:
    """Rebuild a network of nnU-Net, on the device of `params.hardware`, without files.

    It predicts as nnU-Net does: mirrored copies are averaged, and windows overlap by
    `params.inference.overlap` (its own default is 0.5).

    Raises:
        ModuleNotFoundError: If nnU-Net is not installed.
    """
    return make_predictor(params, partial(_initialise, checkpoint=checkpoint))


def make_predictor(params: PredictionParams, initialise: Callable[[Any], None]) -> Predictor:
    """Make a predictor of nnU-Net's own; it sees the axes of scans in the order in which they are.

    Args:
        params: Device, and overlap of windows.
        initialise: Gives it a network.

    Raises:
        ModuleNotFoundError: If nnU-Net is not installed.
    """
    import torch

    _find_library()
    device = torch.device(_device(params.hardware))
    # On import it complains that its folders are not set; nothing here needs them.
    with contextlib.redirect_stdout(io.StringIO()):
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        predictor = nnUNetPredictor(
            tile_step_size=1 - params.inference.overlap,
            perform_everything_on_device=device.type == "cuda",
            device=device,
            allow_tqdm=False,
        )
        initialise(predictor)
    predictor.network = predictor.network.to(device).eval()

    def predict(scan: Scan) -> Floats:
        image = np.ascontiguousarray(scan.image.swapaxes(0, 1), np.float32)
        properties = {"spacing": scan.spacing.tolist()}
        _, probabilities = predictor.predict_single_npy_array(
            image, properties, save_or_return_probabilities=True
        )
        return np.asarray(probabilities, np.float32)

    return predict


def _initialise(predictor: Any, checkpoint: Checkpoint) -> None:
    """Do what nnU-Net's `initialize_from_trained_model_folder` does, without the folder."""
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans, dataset = PlansManager(checkpoint["plans"]), checkpoint["dataset"]
    configuration = plans.get_configuration(checkpoint["configuration"])
    _require_trainer(checkpoint["trainer"])
    trainer = recursive_find_python_class(
        str(_trainers_folder()), checkpoint["trainer"], "nnunetv2.training.nnUNetTrainer"
    )
    network = trainer.build_network_architecture(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        determine_num_input_channels(plans, configuration, dataset),
        plans.get_label_manager(dataset).num_segmentation_heads,
        enable_deep_supervision=False,
    )
    weights, axes = [checkpoint["weights"]], checkpoint["mirroring_axes"]
    predictor.manual_initialization(
        network, plans, configuration, weights, dataset, checkpoint["trainer"], axes
    )


def _find_library() -> Path:
    """Return the folder of the package, without importing it."""
    spec = importlib.util.find_spec("nnunetv2")
    if spec is None or spec.origin is None:
        msg = (
            "the engine nnunetv2 needs the library nnU-Net v2, which is not installed: "
            "pip install 'slicefill[nnunet]', or choose the engine dynunet3d"
        )
        raise ModuleNotFoundError(msg, name="nnunetv2")
    return Path(spec.origin).parent


def _trainers_folder() -> Path:
    return _find_library() / "training" / "nnUNetTrainer"


def _require_trainer(name: str) -> None:
    folder = _trainers_folder()
    sources = (path.read_text() for path in folder.rglob("*.py"))
    trainers = {found for text in sources for found in re.findall(r"^class (\w+)\(", text, re.M)}
    if name not in trainers:
        msg = (
            f"segmentation.engines.nnunetv2.trainer: no trainer {name!r} in {folder}; "
            f"there are {', '.join(sorted(trainers))}"
        )
        raise ValueError(msg)


def _device(params: HardwareParams) -> str:
    """`cpu`, `cuda` or `mps`."""
    kind: str = make_fabric(params.alone).device.type
    return kind


def _environment(work: Path, params: Params) -> dict[str, str]:
    folders = {
        name: work / name for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    }
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    return {
        **os.environ,
        **{name: str(folder) for name, folder in folders.items()},
        "nnUNet_def_n_proc": str(params.processes),
        "nnUNet_n_proc_DA": str(params.processes),
        "PYTHONUNBUFFERED": "1",
    }


def _execute(code: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run Python code with arguments; its output goes to our log."""
    last: deque[str] = deque(maxlen=LAST_LINES)
    with subprocess.Popen(
        [sys.executable, "-c", *code],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            if line.strip():
                logger.debug("nnU-Net: %s", line.rstrip())
                last.append(line)
    if process.returncode:
        msg = (
            f"nnU-Net ended with code {process.returncode}; the log has all it said at level "
            f"debug, the end was:\n{''.join(last)}"
        )
        raise RuntimeError(msg)


def _report(history: Sequence[Mapping[str, Any]], run: Run) -> None:
    for epoch in sorted({row["epoch"] for row in history}):
        values = {row["term"]: row["value"] for row in history if row["epoch"] == epoch}
        run.report(values, epoch)
