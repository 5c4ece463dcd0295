"""A few kills for each recipe; `make kills N=100` runs the campaign."""

import pytest

from tests.kills.campaign import RECIPES, campaign


@pytest.mark.slow
def test_a_killed_training_is_continued_and_ends_with_the_same_bytes() -> None:
    continued = 0
    with campaign(seed=5) as trials:
        for recipe in RECIPES:
            outcome = trials.trial(recipe, kills=1, epochs=100)
            assert outcome.differing == [], outcome
            continued += outcome.continued
    assert continued > 0
