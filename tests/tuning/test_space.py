import optuna
import pytest

from slicefill.params import Choices, Range
from slicefill.tuning.space import apply_values, check_space, starting_values, suggest, tunable

WARP = {"weights.warp": Range(low=0.01, high=1.0, log=True)}


def test_weights_go_into_the_preset_in_use_and_nowhere_else(params):
    made = apply_values(params, {"weights.warp": 0.7, "network.width": 6})
    assert (made.lambdas["warp"], made.network.width) == (0.7, 6)
    assert made.weights["super_slomo"] == params.weights["super_slomo"]
    own = params.model_copy(update={"preset": "tuned"})
    assert apply_values(own, {"weights.warp": 0.7}).weights["practical"]["warp"] == 0.1


def test_a_lambda_that_the_preset_leaves_out_can_be_tuned(params):
    assert "cycle" not in params.weights[params.preset]
    assert tunable(params)["weights.cycle"] == 0
    assert apply_values(params, {"weights.cycle": 0.2}).lambdas["cycle"] == 0.2


@pytest.mark.parametrize("name", ["weights.wrap", "network.size", "nothing", "network.width.more"])
def test_an_unknown_name_is_refused_with_the_known_ones(params, name):
    with pytest.raises(ValueError, match=rf"{name}.*weights\.rec.*optimisation\.learning_rate"):
        apply_values(params, {name: 1})
    with pytest.raises(ValueError, match=rf"tuning\.space: '{name}' cannot.*weights\.tp_smooth"):
        check_space({name: Range(low=1, high=2, log=False)}, params)


@pytest.mark.parametrize(
    "name", ["groups.in_plane", "window.low", "optimisation.seed", "optimisation.epochs", "preset"]
)
def test_what_decides_how_trials_are_scored_cannot_be_tuned(params, name):
    assert name not in tunable(params)


@pytest.mark.parametrize(
    ("name", "tried"),
    [
        ("optimisation.learning_rate", Range(low=-1, high=1, log=False)),
        ("network.width", Range(low=2, high=8, log=False)),
        ("network.time_form", Choices(choices=["printed", "other"])),
        ("weights.per", Range(low=1e-4, high=1.0, log=True)),  # perceptual is none
    ],
)
def test_a_value_out_of_bounds_is_refused_before_any_trial(params, name, tried):
    with pytest.raises(ValueError, match=name.rpartition(".")[2]):
        check_space({name: tried}, params)


@pytest.mark.parametrize(("low", "high"), [(2, 1), (0, 1)])
def test_a_range_must_be_one(low, high):
    with pytest.raises(ValueError, match="expected low < high"):
        Range(low=low, high=high, log=True)


def test_whole_numbers_stay_whole_and_choices_are_kept(params):
    space = {
        "optimisation.batch": Range(low=2, high=9, log=True),
        "network.time_form": Choices(choices=["printed", "linear_motion"]),
        **WARP,
    }
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        values = suggest(study.ask(), space, params)
        assert isinstance(values["optimisation.batch"], int)
        assert 2 <= values["optimisation.batch"] <= 9
        assert 0.01 <= values["weights.warp"] <= 1
        apply_values(params, values)


def test_presets_are_scaled_to_the_weight_that_is_not_tuned(params):
    """Super-SloMo's 102 beside 204 is 0.5 beside 1."""
    assert params.lambdas["rec"] == 1
    made = starting_values(["practical", "super_slomo_no_per"], WARP, params)
    assert made == {
        "practical": {"weights.warp": 0.1},
        "super_slomo_no_per": {"weights.warp": pytest.approx(0.5)},
    }
    with_rec = {"weights.rec": Range(low=0.1, high=500, log=True)}
    assert starting_values(["super_slomo"], with_rec, params)["super_slomo"] == {"weights.rec": 204}


def test_a_preset_outside_of_the_space_is_refused(params):
    narrow = {"weights.warp": Range(low=0.2, high=1.0, log=True)}
    with pytest.raises(ValueError, match=r"weights\.warp of tuning\.start practical is 0\.1"):
        starting_values(["practical"], narrow, params)
    with pytest.raises(ValueError, match="no preset 'best'; there is super_slomo"):
        starting_values(["best"], WARP, params)
