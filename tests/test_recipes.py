"""Recipes: each is a run that can be, says where it comes from, and gives way to what is given."""

from typing import Any

import pytest
from command import resnet

from resnetkit import recipes
from resnetkit.effect import refuse_idle
from resnetkit.errors import UsageError
from resnetkit.run import Run, override


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_is_a_run_in_which_each_setting_acts(name: str) -> None:
    chosen = recipes.find(name)
    run = override(Run(data="digits"), chosen.changes)
    refuse_idle(run, chosen.changes.keys())
    assert chosen.source
    assert chosen.says
    changed = {setting for setting, value in chosen.changes.items() if getattr(Run(), setting) != value}
    assert len(changed) >= 4


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"lr": 0.2}, {"lr": 0.2, "steps": 64_000, "batch": 128}),
        ({"epochs": 3}, {"epochs": 3, "lr": 0.1}),
        ({"smoothing": 0.1}, {"smoothing": 0.1}),
    ],
)
def test_what_is_given_comes_before_the_recipe(given: dict[str, Any], expected: dict[str, Any]) -> None:
    settings = recipes.settings("paper-cifar", given)
    assert expected.items() <= settings.items()
    assert ("steps" in settings) != ("epochs" in settings)


def test_another_optimizer_leaves_its_own_rates_open() -> None:
    settings = recipes.settings("bag-of-tricks", {"optimizer": "adam", "momentum": 0.8})
    assert not {"lr", "weight_decay", "nesterov"} & settings.keys()
    assert settings["momentum"] == 0.8
    assert recipes.settings("bag-of-tricks", {"optimizer": "sgd"})["lr"] == 0.4
    assert "lr left open" in recipes.line("quick", {"optimizer": "adamw"})
    assert "ema 0.999966" in recipes.line("torchvision-v2", {})


def test_the_dry_run_shows_recipe_and_given_settings() -> None:
    answer = resnet("train", "digits", "--recipe", "paper-cifar", "--lr", "0.2", "--steps", "9", "--dry-run", "--json")
    assert answer.code == 0, answer.err
    for words in ("He et al. 2015", "lr 0.2 (given, not 0.1)", "steps 9 (given, not 64000)", "weight_decay 0.0001"):
        assert words in answer.err
    run = answer.document["run"]
    assert (run["lr"], run["steps"], run["nesterov"], run["weight_decay"]) == (0.2, 9, False, 1e-4)
    assert answer.document["resolved"]["batch"] == 128


def test_recipes_are_listed() -> None:
    assert [row["name"] for row in resnet("recipes", "--json").document] == list(recipes.RECIPES)
    assert "strikes-back-a2: 300 epochs" in resnet("recipes").out


def test_a_recipe_nobody_knows_and_two_ways_to_say_all() -> None:
    with pytest.raises(UsageError, match="did you mean paper-cifar"):
        recipes.find("paper-cifer")
    answer = resnet("train", "digits", "--recipe", "quick", "--run", "run.json")
    assert answer.code == 2
    assert "--recipe and --run" in answer.err
