"""Parameters of `conf/`, as they are, or reduced to a training of minutes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader

from slicefill.params import AugmentationParams, SegmentationParams
from slicefill.segmentation.interface import Setting
from slicefill.settings import CONFIG_LOADER_ARGS

_CONF = Path(__file__).parents[1] / "conf"


def read_parameters(env: str, **given: Any) -> dict[str, Any]:
    """Read all parameters of an environment.

    Args:
        env: Its name.
        given: What `--params` would give.
    """
    loader = OmegaConfigLoader(str(_CONF), env, runtime_params=given, **CONFIG_LOADER_ARGS)
    values: dict[str, Any] = loader["parameters"]
    return values


def short_setting(
    labels: Mapping[int, str],
    engines: Mapping[str, Mapping[str, Any]],
    **changes: Mapping[str, Any],
) -> Setting:
    """Take the segmentation of conf/base, with changes, without transforms, with seed 0.

    Args:
        labels: Id to name, without the background.
        engines: What changes in which entries.
        changes: What changes in which sections, such as `optimisation`.
    """
    values = read_parameters("base")
    section = values["segmentation"]
    for name, own in engines.items():
        section["engines"][name] |= own
    for name, own in changes.items():
        section[name] = {**section.get(name, {}), **own}
    section["label_names"] = {0: "background", **labels}
    plain = AugmentationParams(**{**values["augmentation"], "transforms": []})
    return Setting(SegmentationParams(**section), plain, 0)
