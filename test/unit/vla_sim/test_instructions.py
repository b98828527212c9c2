"""Laws of the instruction sets."""

from __future__ import annotations

import numpy as np
import pytest

from vla_sim.errors import SimulationError
from vla_sim.instructions import SETS, TEMPLATES, all_words, templates, write_instruction
from vla_sim.tasks import TASKS


def words(pattern: str) -> set[str]:
    return {word for word in pattern.split() if not word.startswith("{")}


def test_every_task_has_every_set() -> None:
    for task in TASKS:
        for name in SETS:
            assert len(templates(task, name)) >= 3


def test_no_sentence_is_in_two_sets() -> None:
    sentences = [line for sets in TEMPLATES.values() for lines in sets.values() for line in lines]
    assert len(sentences) == len(set(sentences))


@pytest.mark.parametrize("task", list(TASKS))
def test_new_sentences_use_known_words_and_new_words_do_not(task: str) -> None:
    known = set(all_words())
    assert all(words(line) <= known for line in templates(task, "new_sentences"))
    assert all(not words(line) <= known for line in templates(task, "new_words"))


def test_a_sentence_names_object_and_container() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        for name in SETS:
            sentence = write_instruction(rng, "place", "red cube", "bowl", name)
            assert "red cube" in sentence and "bowl" in sentence and "{" not in sentence


@pytest.mark.parametrize("bad", [("dance", "train"), ("pick", "poems")])
def test_unknown_names_are_refused(bad: tuple[str, str]) -> None:
    with pytest.raises(SimulationError, match="expected"):
        templates(*bad)
