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
    "push": {
        "train": (
            "push the {object} onto the {goal}",
            "push the {object} over to the {goal}",
            "move to the {object} and push it onto the {goal}",
            "slide the {object} onto the {goal}",
        ),
        "new_sentences": (
            "slide the {object} over to the {goal}",
            "go to the {object} and slide it onto the {goal}",
            "push the {object} over onto the {goal}",
        ),
        "new_words": (
            "shove the {object} to the {goal}",
            "make the {object} lie on the {goal} without lifting it",
            "nudge the {object} along until it is on the {goal}",
        ),
    },
    "catch": {
        "train": (
            "catch the {object}",
            "pick the {object} off the turntable",
            "go to the turntable and catch the {object}",
            "lift the {object} off the turntable",
        ),
        "new_sentences": (
            "catch the {object} and lift it up",
            "grasp the {object} and lift it off the turntable",
            "move over to the turntable and pick up the {object}",
        ),
        "new_words": (
            "snatch the {object} from the disc",
            "get hold of the moving {object}",
            "take the {object} while it turns",
        ),
    },
    "stack": {
        "train": (
            "stack the {object} on the {goal}",
            "put the {object} on top of the {goal}",
            "pick up the {object} and stack it on the {goal}",
            "lift the {object} and place it on top of the {goal}",
        ),
        "new_sentences": (
            "place the {object} on the {goal}",
            "stack the {object} on top of the {goal}",
            "grasp the {object} and put it on the {goal}",
        ),
        "new_words": (
            "set the {object} down onto the {goal}",
            "the {object} belongs upon the {goal}",
            "build a tower with the {object} above the {goal}",
        ),
    },
    "insert": {
        "train": (
            "put the {object} into the {goal}",
            "insert the {object} into the {goal}",
            "pick up the {object} and insert it into the {goal}",
            "grasp the {object} and put it into the {goal}",
        ),
        "new_sentences": (
            "place the {object} into the {goal}",
            "lift the {object} and insert it into the {goal}",
            "pick the {object} up and put it into the {goal}",
        ),
        "new_words": (
            "plug the {object} into the {goal}",
            "fit the {object} inside the {goal}",
            "the {object} goes down the hole of the {goal}",
        ),
    },
    "open": {
        "train": (
            "open the {object}",
            "pull the {object} open",
            "pull open the {object}",
            "grasp the {object} and pull it open",
        ),
        "new_sentences": (
            "go to the {object} and open it",
            "reach the {object} and pull it open",
            "move over to the {object} and open it up",
        ),
        "new_words": (
            "slide the {object} out",
            "draw the {object} toward you",
            "get the {object} unshut",
        ),
    },
    "press": {
        "train": (
            "press the {object}",
            "press the {object} down",
            "move to the {object} and press it",
            "go over to the {object} and press it down",
        ),
        "new_sentences": (
            "press down the {object}",
            "reach the {object} and press it",
            "move the gripper to the {object} and press it down",
        ),
        "new_words": (
            "tap the {object}",
            "switch the {object} on",
            "activate the {object} with your fingers",
        ),
    },
    "press_then_pick": {
        "train": (
            "press the {goal} then pick up the {object}",
            "press the {goal} and then lift the {object}",
            "first press the {goal} then pick the {object} up",
            "first press the {goal} and then grasp the {object} and lift it",
        ),
        "new_sentences": (
            "press the {goal} down then lift up the {object}",
            "first go to the {goal} and press it then pick up the {object}",
            "move to the {goal} and press it and then lift the {object}",
        ),
        "new_words": (
            "tap the {goal} before you raise the {object}",
            "once the {goal} shines grab the {object}",
            "activate the {goal} and afterwards hold the {object} high",
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
