"""Recipes: what can be said in one, and those of the zoo."""

from __future__ import annotations

import pytest

from ftbnn_larq import recipe, zoo
from ftbnn_larq.recipe import Recipe
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("learning_rate", 0.0, "above 0"),
        ("learning_rate", float("nan"), "not finite"),
        ("batch_size", -3, "above 0"),
        ("batch_size", 6.5, "not of type int"),
        ("label_smoothing", 1.0, "below 1"),
        ("ema", 1.0, "below 1"),
        ("random_augment", 2.0, "from 0 to 1"),
        ("patience", -1, "not be negative"),
        ("float_weights_epochs", 60, "leaves none"),
        ("head_epochs", 60, "head_epochs = 60 leaves none"),
        ("optimizer", "adan", "did you mean adam"),
        ("distillation", "hington", "did you mean hinton"),
    ],
)
def test_keys_that_cannot_be_used(key, value, words):
    with pytest.raises(ValueError, match=words):
        Recipe(**{key: value})


def test_recipes_keep_paths_of_any_characters(tmp_path):
    how = Recipe(teacher='runs/ftbnn_r18-\N{CAT FACE}-\N{LATIN SMALL LETTER E WITH ACUTE}"\\')
    how.save(tmp_path / "recipe.toml")
    assert recipe.read(tmp_path / "recipe.toml") == how


@pytest.mark.parametrize("path", sorted((ROOT / "zoo/recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_of_the_zoo_reads_and_opens_with_its_command(path):
    recipe.read(path)
    assert path.read_text().startswith("# ftbnn-larq train ")


def test_the_zoo_has_a_complete_recipe_for_imagenet_and_says_what_it_is():
    text = (ROOT / "zoo/recipes/imagenet2012.toml").read_text()
    assert "not been run" in text
    how = zoo.recipe_for("imagenet2012")
    assert (how.epochs, how.schedule, how.batch_size) == (256, "linear", 512)
    assert zoo.recipe_for("imagenet2012:5.1.0") == how
