"""Trained on phantoms: what the samples must be good for, on phantoms that were not seen."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from slicefill.imputation.methods.probabilistic.drawing import Sampler, draw_noise, draw_sample
from slicefill.imputation.methods.probabilistic.features import NEAR
from slicefill.imputation.methods.probabilistic.learner import predict
from slicefill.imputation.methods.probabilistic.network import ProbabilisticNetwork
from slicefill.imputation.methods.probabilistic.spread import Expected, find_clues, find_spread
from slicefill.imputation.methods.probabilistic.training import train
from slicefill.imputation.methods.probabilistic.windows import KnownVolumes
from slicefill.training.fit import Run, Stateless, ignore
from slicefill.training.hardware import launch_fabric

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(phantoms, params):
    own = params(
        network={"widths": [8, 12, 16, 24], "latents": [2, 3, 4]},
        windows={"factors": [4], "batch": 3},
        loss={"divergence": 0.01, "error": 0.3},
        optimisation={"epochs": 4, "steps_per_epoch": 50},
    )
    parts = {"train": phantoms(range(12)), "validation": phantoms(range(100, 103))}
    made = train(parts, own, Run(Stateless(), ignore))
    network = ProbabilisticNetwork(own.network, 3)
    network.load_state_dict(made["weights"])
    fabric = launch_fabric(own.hardware)
    powers, grain = made["spread_powers"], made["grain"]
    return own, Sampler(network.eval(), (1, 2, 3), 8, powers, grain, fabric)


@pytest.fixture(scope="module")
def held_out(phantoms, trained):
    known = KnownVolumes(phantoms(range(200, 204)), (1, 2, 3), trained[0])
    return [known.get(name, 4) for name in known.names]


def test_the_mean_of_the_samples_is_not_below_linear_and_the_spread_tells_errors(
    trained, held_out, record_property
):
    gains, ranks, alone, covered = [], [], [], []
    for known in held_out:
        mean, deviation, within = predict(trained[1], known.features, 0)
        spread = find_spread(Expected(deviation, find_clues(known.features)), trained[1].powers)
        where = (known.features[NEAR] > 0) & (known.truth[0] > 0.05)
        error, linear = (np.abs(one - known.truth[0])[where] for one in (mean, known.features[0]))
        gains.append(10 * np.log10(np.square(linear).mean() / np.square(error).mean()))
        ranks.append(spearmanr(spread[where], error).statistic)
        alone.append(spearmanr(within[where], error).statistic)
        covered.append((error <= 1.645 * spread[where]).mean())
    named = {"gain_db": gains, "spearman": ranks, "samples_alone": alone, "coverage": covered}
    for name, values in named.items():
        record_property(name, float(np.mean(values)))
        print(name, np.round(values, 3))
    assert np.mean(gains) >= 0
    assert np.mean(ranks) >= 0.3
    assert 0.8 <= np.mean(covered) <= 0.97


def test_samples_do_not_flicker(trained, held_out):
    """Departures from the mean are alike in neighbouring synthetic slices; apart they would not."""
    sampler, known = trained[1], held_out[0]
    rng = np.random.default_rng(0)
    noise = [draw_noise(sampler.network, known.label.shape[1:], rng) for _ in range(4)]
    images = np.stack([draw_sample(sampler, known.features, one).image for one in noise])
    away = images - images.mean(axis=0)
    alike = [np.corrcoef(away[:, k].ravel(), away[:, k + 1].ravel())[0, 1] for k in (1, 2, 5, 6)]
    assert np.mean(alike) > 0.1
