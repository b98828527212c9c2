"""Who is judged on a bag: a policy with its settings, and what it is called beside another."""

from pathlib import Path

import pytest

from vla_distill.bags.contender import Contender, names_of, parse_compute
from vla_distill.bags.errors import BagError
from vla_policy.errors import PolicyError

CHECKPOINTS = Path(__file__).resolve().parents[3] / "checkpoints"


def test_compute_is_read_by_name():
    found = parse_compute("language_layers=6,visual_tokens=18")
    assert found == {"language_layers": 6, "visual_tokens": 18}
    assert parse_compute("") == {}


@pytest.mark.parametrize("text", ["layers=6", "language_layers", "language_layers=half"])
def test_compute_that_cannot_be_read_is_named(text):
    with pytest.raises(BagError, match=r"compute: got .*NAME=NUMBER.*language_layers"):
        parse_compute(text)


def test_a_policy_computes_what_it_is_told_and_else_what_its_recipe_says():
    folder = CHECKPOINTS / "student"
    plain = Contender(folder, 2).load("cpu").plan  # type: ignore[attr-defined]
    told = Contender(folder, 2, {"language_layers": 5}).load("cpu").plan  # type: ignore[attr-defined]
    assert plain.budget == plain.default
    assert told.budget.language_layers == 5 != plain.budget.language_layers
    assert told.budget.visual_tokens == plain.budget.visual_tokens


def test_compute_out_of_range_is_refused_with_the_range():
    with pytest.raises(PolicyError, match="visual_tokens: got 3, expected 72 to 72"):
        Contender(CHECKPOINTS / "student", 2, {"visual_tokens": 3}).load("cpu")


@pytest.mark.parametrize("steps", [0, -3])
def test_a_contender_is_asked_again_after_a_step_or_more(steps):
    with pytest.raises(BagError, match=f"replan_steps: got {steps}, expected 1 or more"):
        Contender(CHECKPOINTS / "student", steps)


def test_names_tell_apart_by_what_differs():
    one, other = Path("a/one"), Path("b/other")
    half = {"language_layers": 3}
    assert names_of([Contender(one, 2), Contender(other, 2)]) == ["one", "other"]
    assert names_of([Contender(one, 2), Contender(one, 6)]) == ["one, every 2", "one, every 6"]
    assert names_of([Contender(one, 2), Contender(one, 2, half)]) == [
        "one",
        "one, language_layers 3",
    ]
    assert names_of([Contender(one, 2), Contender(Path("b/one"), 2)]) == ["a/one", "b/one"]
