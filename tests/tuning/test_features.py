import pytest
import torch

from slicefill.imputation.methods.slice_imputation.perceptual import PerceptualFeatures
from slicefill.tuning.folds import RememberedFeatures


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights in the place of ImageNet's; the arithmetic is the same."""
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pt"
    empty = object.__new__(PerceptualFeatures)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "slicefill.imputation.methods.slice_imputation.perceptual._load_weights", _any
        )
        PerceptualFeatures.__init__(empty, "any")
        torch.save(empty.state_dict(), path)
    return str(path)


class _Any(dict):
    def __missing__(self, name):
        sizes = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128)}
        sizes |= {12: (256, 256), 14: (256, 256), 17: (512, 256), 19: (512, 512), 21: (512, 512)}
        out, into = sizes[int(name.split(".")[1])]
        shape = (out,) if name.endswith("bias") else (out, into, 3, 3)
        return torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.05


def _any(source):
    return _Any()


def test_targets_are_remembered_and_equal_what_is_computed(weights, seeded):
    plain, remembering = PerceptualFeatures(weights), RememberedFeatures(weights, 1.0)
    slices = torch.rand(2, 1, 16, 16, generator=seeded)
    first, second = remembering(slices), remembering(slices.clone())
    assert second is first
    torch.testing.assert_close(first, plain(slices), rtol=0, atol=0)


def test_synthetic_slices_are_never_remembered_and_pass_gradients(weights, seeded):
    features = RememberedFeatures(weights, 1.0)
    slices = torch.rand(1, 1, 16, 16, generator=seeded).requires_grad_()
    features(slices).sum().backward()
    assert slices.grad.abs().sum() > 0
    assert not features._remembered


def test_when_full_nothing_is_forgotten_for_what_comes_later(weights, seeded):
    bytes_of_one = 512 * 2 * 2 * 4
    features = RememberedFeatures(weights, 2.5 * bytes_of_one / 1e9)
    batches = torch.rand(3, 1, 1, 16, 16, generator=seeded)
    kept = [features(batch) for batch in batches]
    again = [features(batch) for batch in batches]
    assert [a is b for a, b in zip(kept, again, strict=True)] == [True, True, False]


@pytest.fixture
def seeded():
    return torch.Generator().manual_seed(0)
