"""The features of the perceptual loss: where the weights come from, and the layout."""

from urllib.error import URLError

import pytest
import torch

from slicefill.imputation.methods.slice_imputation.perceptual import PerceptualFeatures

# The convolutions of torchvision's vgg16().features up to conv4_3: index, channels in and out.
LAYERS = [
    (0, 3, 64), (2, 64, 64), (5, 64, 128), (7, 128, 128), (10, 128, 256), (12, 256, 256),
    (14, 256, 256), (17, 256, 512), (19, 512, 512), (21, 512, 512),
]  # fmt: skip


@pytest.fixture(scope="module")
def state():
    """As torchvision saves it, with later layers and the classifier's beside."""
    torch.manual_seed(0)
    weights = {}
    for index, inputs, outputs in [*LAYERS, (24, 512, 4)]:
        scale = (2 / (9 * inputs)) ** 0.5
        weights[f"features.{index}.weight"] = torch.randn(outputs, inputs, 3, 3) * scale
        weights[f"features.{index}.bias"] = torch.randn(outputs) * 0.1
    return weights | {"classifier.0.weight": torch.zeros(2, 2)}


@pytest.fixture(scope="module")
def features(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save(state, path)
    return PerceptualFeatures(str(path))


def test_features_are_relu_4_3_of_torchvisions_vgg16(features, state, seeded):
    x = torch.rand(1, 1, 16, 24, generator=seeded)
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    y = (x.expand(-1, 3, -1, -1) - mean) / std
    for k, (index, _, _) in enumerate(LAYERS):
        if k in (2, 4, 7):
            y = torch.nn.functional.max_pool2d(y, 2)
        weights = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
        y = torch.nn.functional.conv2d(y, *weights, padding=1).relu()
    assert torch.allclose(features(x), y, atol=1e-4)


def test_channels_are_shown_one_by_one_as_grey_images(features, seeded):
    slices = torch.rand(2, 3, 16, 24, generator=seeded)
    found = features(slices)
    assert found.shape == (6, 512, 2, 3)
    assert torch.allclose(found[4:5], features(slices[1:2, 1:2]), atol=1e-4)


def test_slices_learn_and_features_do_not(features, seeded):
    slices = torch.rand(1, 1, 16, 16, generator=seeded).requires_grad_()
    features(slices).sum().backward()
    assert slices.grad.abs().sum() > 0
    assert not any(weight.requires_grad for weight in features.parameters())


def says_what_to_do(error):
    return "https://download.pytorch.org/models/vgg16" in error and "perceptual: none" in error


def test_a_missing_file_stops_with_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*vgg\.pth") as caught:
        PerceptualFeatures(str(tmp_path / "vgg.pth"))
    assert says_what_to_do(str(caught.value))


def test_an_unreachable_hub_stops_with_what_to_do(monkeypatch):
    def unreachable(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    with pytest.raises(FileNotFoundError, match="no route to host") as caught:
        PerceptualFeatures("hub")
    assert says_what_to_do(str(caught.value))


def test_the_hub_is_asked_for_tensors_only(monkeypatch, state):
    asked = {}

    def serve(url, **options):
        asked.update(options, url=url)
        return state

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", serve)
    PerceptualFeatures("hub")
    assert asked["weights_only"] is True
    assert "vgg16" in asked["url"]
