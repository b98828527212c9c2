"""What has happened in an episode, for tasks in which the order counts."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Events:
    """First times of what cannot be read off the present state.

    Attributes:
        pressed: button -> when it was pressed first [s]; from then on its light is on.
        lifted: object -> when it first left what it stood on [s].
    """

    pressed: dict[str, float] = field(default_factory=dict)
    lifted: dict[str, float] = field(default_factory=dict)
