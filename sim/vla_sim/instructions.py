"""Sentences for the tasks: phrasings seen in training, new sentences, new words."""

from __future__ import annotations

from typing import Final

from numpy.random import Generator

from vla_sim.errors import SimulationError
from vla_sim.scene.things import THINGS

SETS: Final = ("train", "new_sentences", "new_words")
"""``new_sentences`` says it in known words; ``new_words`` also uses words training never had."""

TEMPLATES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "reach": {
        "train": (
            "reach the {object}",
            "move to the {object}",
            "go to the {object}",
            "move the gripper over to the {object}",
        ),
        "new_sentences": (
            "move over to the {object}",
            "go over and reach the {object}",
            "reach the {object} and move to it",
        ),
        "new_words": (
            "approach the {object}",
            "bring the hand close to the {object}",
            "hover above the {object}",
        ),
    },
    "pick": {
        "train": (
            "pick up the {object}",
            "lift the {object}",
            "pick the {object} up",
            "grasp the {object} and lift it",
        ),
        "new_sentences": (
            "lift up the {object}",
            "pick the {object} and lift it up",
            "move the gripper to the {object} and lift it",
        ),
        "new_words": (
            "raise the {object}",
            "grab the {object} from the table",
            "hold the {object} high",
        ),
    },
    "place": {
        "train": (
            "put the {object} in the {goal}",
            "place the {object} in the {goal}",
            "pick up the {object} and put it in the {goal}",
            "pick the {object} up and place it over in the {goal}",
        ),
        "new_sentences": (
            "grasp the {object} and place it in the {goal}",
            "lift the {object} and put it in the {goal}",
            "go to the {object} and place it in the {goal}",
        ),
        "new_words": (
            "drop the {object} into the {goal}",
            "the {object} belongs inside the {goal}",
            "store the {object} in the {goal} please",
        ),
    },
}


def templates(task: str, instructions: str = "train") -> tuple[str, ...]:
    """Sentence patterns with ``{object}`` and ``{goal}`` to fill in.

    Raises:
        SimulationError: unknown task or unknown set of instructions.
    """
    if task not in TEMPLATES:
        raise SimulationError("task", got=task, expected=sorted(TEMPLATES))
    if instructions not in SETS:
        raise SimulationError("instructions", got=instructions, expected=list(SETS))
    return TEMPLATES[task][instructions]


def write_instruction(
    rng: Generator, task: str, target: str, goal: str | None, instructions: str = "train"
) -> str:
    """One sentence that asks for the task.

    Args:
        rng: chooses the phrasing; draws exactly once whatever the set.
        task: name of the task.
        target: the object's name, e.g. ``"red cube"``.
        goal: the other named thing, e.g. a container, or None where the task has none.
        instructions: which set of phrasings.

    Raises:
        SimulationError: unknown task or unknown set of instructions.
    """
    choices = templates(task, instructions)
    pattern = choices[int(rng.uniform() * len(choices))]
    return pattern.format(object=target, goal=goal)


def all_words() -> tuple[str, ...]:
    """Every word of the training sentences, sorted."""
    words = {word for thing in THINGS for word in thing.split()}
    for sets in TEMPLATES.values():
        for pattern in sets["train"]:
            words.update(word for word in pattern.split() if not word.startswith("{"))
    return tuple(sorted(words))
