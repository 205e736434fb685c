"""VGG16 up to conv4_3: the features φ of the perceptual loss, eq. (8)."""

from pathlib import Path

import torch
from torch import Tensor, nn

_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
_LAYOUT = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512)
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class PerceptualFeatures(nn.Module):
    """conv4_3 (with its ReLU) of VGG16; frozen.

    Slices in [0, 1] are shown as grey images, each channel on its own.

    Reference:
        Simonyan & Zisserman, 2015; layer as in Slice Imputation, eq. (8).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, source: str) -> None:
        """Build the network.

        Args:
            source: `hub`, or the path of a state dict with torchvision's names
                (`features.0.weight`, …).

        Raises:
            FileNotFoundError: If the weights cannot be had; says how to get them.
        """
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for step in _LAYOUT:
            if isinstance(step, str):
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, step, 3, padding=1), nn.ReLU()]
                channels = step
        self.features = nn.Sequential(*layers)
        state = _load_weights(source)
        self.load_state_dict({name: state[name] for name in self.state_dict()})
        self.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, slices: Tensor) -> Tensor:
        """`(B, C, H, W)` in [0, 1] → `(B·C, 512, H/8, W/8)`."""
        grey = slices.reshape(-1, 1, *slices.shape[-2:]).expand(-1, 3, -1, -1)
        features: Tensor = self.features((grey - self.mean) / self.std)
        return features


def _load_weights(source: str) -> dict[str, Tensor]:
    remedy = (
        f"download {_URL} and set synthesis.perceptual to the file, "
        "or set synthesis.perceptual: none and choose a preset with per: 0"
    )
    if source != "hub":
        if not Path(source).is_file():
            msg = f"synthesis.perceptual: no file {source}; {remedy}"
            raise FileNotFoundError(msg)
        return dict(torch.load(source, map_location="cpu", weights_only=True))
    try:
        return dict(torch.hub.load_state_dict_from_url(_URL, map_location="cpu", weights_only=True))
    except OSError as error:
        msg = f"synthesis.perceptual: hub: cannot fetch the ImageNet weights ({error}); {remedy}"
        raise FileNotFoundError(msg) from error
