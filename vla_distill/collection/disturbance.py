"""What goes wrong on purpose while an expert demonstrates.

Two kinds. **Drift**: for stretches of a second or so, smooth noise is added to the executed
command, while the label stays the expert's clean command for the state it is then in. After DART
(Laskey et al., "DART: Noise Injection for Robust Imitation Learning", CoRL 2017), with correlated
instead of white noise, because labels are chunks: those of later steps come from later states, and
only slow noise keeps them a sensible continuation. **Errors**: the arm is carried off, the gripper
opens while carrying, closes beside the object, the hand leaves with the object just short of its
goal, or comes down on the wrong side of it and shoves; then the expert recovers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

GRIPPER_OPEN = 0.08
LOWEST = 0.03
"""Noise never pushes a command below this height, or the clean command's if that is less [m]."""

ERROR_SPEED = 0.3
"""How fast an error carries the arm off [m/s]."""
WAITS = {"displace": (3, 25), "release": (0, 8), "miss": (0, 3), "leave": (0, 6), "astray": (0, 4)}
"""Least and most occasions that an error lets pass before it takes one [steps]."""
KINDS = {
    True: ("displace", "release", "miss"),
    False: ("displace", "leave", "leave", "astray", "astray"),
}
"""Errors, by whether the task grasps; those named twice are twice as frequent."""


@dataclass(frozen=True)
class DisturbanceConfig:
    """How much goes wrong.

    Attributes:
        drift_share: share of the episodes with drift.
        error_share: share of the episodes in which an error is planned; some end before it.
        position: standard deviation of the drift [m].
        rotation: standard deviation of the drift [rad].
        correlation: time after which the drift is forgotten to 1/e [s].
        calm: shortest and longest time between stretches of drift [s].
        stretch: shortest and longest stretch of drift [s].
        displacement: how far an error carries the arm off, sideways [m].
        turn: how far it turns the gripper about the vertical [rad].
        miss: how far beside the object the gripper closes, least and most [m].
        short: how far from its goal a pushed object is when the hand leaves it, at most [m].
        back, up: how far the hand backs off the object and rises then [m].
        beside: how far from the object's middle the hand comes down astray, least and most [m].
        shove: how far it goes on towards the object then, at most [m].
    """

    drift_share: float = 0.6
    error_share: float = 0.35
    position: float = 0.010
    rotation: float = 0.06
    correlation: float = 0.4
    calm: tuple[float, float] = (0.4, 1.5)
    stretch: tuple[float, float] = (0.6, 2.0)
    displacement: float = 0.10
    turn: float = 0.6
    miss: tuple[float, float] = (0.025, 0.05)
    short: float = 0.09
    back: float = 0.03
    up: float = 0.10
    beside: tuple[float, float] = (0.045, 0.075)
    shove: float = 0.05

    def scaled(self, noise: float) -> dict[str, Any]:
        """The numbers as noted in a dataset, with the overall scale."""
        return {"noise": noise} | asdict(self)


ENVIRONMENT_DRIFT = DisturbanceConfig(
    error_share=0.0, position=0.02, calm=(0.1, 0.6), stretch=(0.2, 0.8)
)
"""For experts of Gymnasium environments: they are fast, an episode takes them about a second.
Errors are not injected, they would have to know the scene."""


@dataclass(frozen=True)
class Situation:
    """What the disturbance may look at to choose its moment.

    Attributes:
        step: number of the step in the episode.
        commanded: last commanded pose and gripper opening. Shape (7,) [m, rad].
        measured_gripper: opening as measured [m].
        gripper: position of the tool point. Shape (3,) [m].
        target: position of the object to handle. Shape (3,) [m].
        goal: position of where it belongs; the target's if it belongs nowhere. Shape (3,) [m].
    """

    step: int
    commanded: NDArray[np.float64]
    measured_gripper: float
    gripper: NDArray[np.float64]
    target: NDArray[np.float64]
    goal: NDArray[np.float64]


class Disturbance:
    """The disturbance of one episode.

    Args:
        config: how much goes wrong.
        noise: scale of everything; 0 disturbs nothing.
        grasping: whether the task grasps, so that grasps can go wrong.
        rng: decides everything.
        step_dt: time between steps [s].
    """

    def __init__(
        self,
        config: DisturbanceConfig,
        noise: float,
        grasping: bool,
        rng: np.random.Generator,
        step_dt: float,
    ) -> None:
        self._config, self._noise, self._rng, self._dt = config, noise, rng, step_dt
        drifts = rng.random() < config.drift_share * min(noise, 1.0)
        errs = rng.random() < config.error_share * min(noise, 1.0)
        self._error = str(rng.choice(KINDS[grasping])) if errs else None
        self._wait = int(rng.integers(*WAITS[self._error])) if self._error else 0
        self._error_steps = 0
        self._way: list[NDArray[np.float64]] = []
        self._drifts = drifts
        self._offset = np.zeros(6)
        self._switch = self._draw_steps(config.calm)
        self._on = False
        self._happened: list[str] = []
        self._level = 0

    @property
    def description(self) -> str:
        """What has happened so far, e.g. ``drift+release``; ``none`` if nothing."""
        return "+".join(self._happened) or "none"

    @property
    def level(self) -> int:
        """What the last command was: 0 the clean one, 1 with drift added, 2 an injected error."""
        return self._level

    def apply(self, clean: NDArray[np.float64], now: Situation) -> NDArray[np.float64]:
        """The command to execute instead of the clean one.

        Args:
            clean: the expert's command, pose and gripper opening. Shape (7,) [m, rad].
            now: the state of affairs.

        Returns:
            Shape (7,); the very same array where nothing is disturbed.
        """
        if self._error == "miss" and now.commanded[6] < 0.005 and clean[6] > 0.05:
            self._error, self._error_steps = None, 0  # noticed: the expert opens again
        if self._error_steps > 0 or self._begins(clean, now):
            self._error_steps -= 1
            self._level = 2
            return self._erroneous(clean, now)
        executed = self._drifted(clean)
        self._level = int(executed is not clean)
        return executed

    def _draw_steps(self, seconds: tuple[float, float]) -> int:
        return max(1, round(self._rng.uniform(*seconds) / self._dt))

    def _note(self, kind: str) -> None:
        if kind not in self._happened:
            self._happened.append(kind)

    def drift(self) -> NDArray[np.float64] | None:
        """The drift of the next step. Shape (6,) [m, rad]; None while nothing drifts."""
        if not self._drifts:
            return None
        config = self._config
        self._switch -= 1
        if self._switch <= 0:
            self._on = not self._on
            self._switch = self._draw_steps(config.stretch if self._on else config.calm)
            self._offset[:] = 0.0
        if not self._on:
            return None
        keep = np.exp(-self._dt / config.correlation)
        sigma = np.repeat([config.position, config.rotation], 3) * self._noise
        self._offset *= keep
        self._offset += np.sqrt(1 - keep**2) * sigma * self._rng.standard_normal(6)
        self._note("drift")
        return self._offset

    def _drifted(self, clean: NDArray[np.float64]) -> NDArray[np.float64]:
        offset = self.drift()
        return clean if offset is None else _moved(clean, offset)

    def _begins(self, clean: NDArray[np.float64], now: Situation) -> bool:
        """Whether this is the moment of the error; prepares it."""
        if self._error is None:
            return False
        away = now.target - now.gripper
        closing = clean[6] < now.measured_gripper - 0.02
        carrying = clean[6] < 0.05 and np.linalg.norm(away) < 0.03 and now.target[2] > 0.05
        near = np.linalg.norm(away[:2]) < 0.03 and away[2] > -0.10 and clean[6] > 0.05
        pushing = clean[2] < LOWEST and now.gripper[2] < LOWEST
        short = 0.0 < np.linalg.norm((now.goal - now.target)[:2]) < self._config.short
        above = away[2] < -0.03 and 0.0 < np.linalg.norm(away[:2]) < 0.12 and clean[6] < 0.005
        belongs = not np.array_equal(now.goal, now.target)
        occasions = {
            "displace": True,
            "release": carrying,
            "miss": near and not closing,
            "leave": pushing and short,
            "astray": above and belongs,
        }
        self._wait -= occasions[self._error]
        if self._wait >= 0:
            return False
        if self._error == "displace":
            self._prepare(clean, (0.6, 1.2), self._config.displacement)
        elif self._error == "release":
            self._error_steps = self._draw_steps((0.3, 0.5))
        elif self._error == "leave":
            self._error_steps = self._draw_steps((0.8, 1.2))
            back = -away[:2] / max(float(np.linalg.norm(away[:2])), 1e-6)
            shift = [*(self._config.back * back), self._config.up, 0.0, 0.0, 0.0]
            self._way = [_moved(clean, np.array(shift))]
        elif self._error == "astray":
            self._go_astray(now)
        else:
            self._prepare(clean, (1.3, 1.6), self._rng.uniform(*self._config.miss))
        self._note(self._error)
        return True

    def _prepare(
        self, clean: NDArray[np.float64], seconds: tuple[float, float], distance: float
    ) -> None:
        """Choose where the error carries the arm, and for how long."""
        rng = self._rng
        self._error_steps = self._draw_steps(seconds)
        angle = rng.uniform(-np.pi, np.pi)
        offset = np.zeros(6)
        offset[:2] = distance * np.array([np.cos(angle), np.sin(angle)])
        if self._error == "displace":
            offset[:2] *= rng.uniform(0.4, 1.0)
            offset[2] = rng.uniform(-0.03, 0.10)
            offset[3:] = rng.uniform(-1, 1, 3) * (0.15, 0.15, self._config.turn)
        self._way = [_moved(clean, offset)]

    def _go_astray(self, now: Situation) -> None:
        """Over a place beside the object, down, and a little towards it."""
        rng, config = self._rng, self._config
        self._error_steps = self._draw_steps((1.5, 2.0))
        angle = rng.uniform(-np.pi, np.pi)
        aside = np.array([np.cos(angle), np.sin(angle)])
        beside = rng.uniform(*config.beside)
        over, low, end = (now.commanded[:6].copy() for _ in range(3))
        over[:2] = low[:2] = now.target[:2] + beside * aside
        end[:2] = now.target[:2] + (beside - rng.uniform(0.0, config.shove)) * aside
        low[2] = end[2] = LOWEST - 0.01
        self._way = [over, low, end]

    def _erroneous(self, clean: NDArray[np.float64], now: Situation) -> NDArray[np.float64]:
        """The command while the error lasts."""
        executed = clean.copy()
        if self._way:
            goal = self._way[0]
            executed[:6] = _approached(now.commanded[:6], goal[:6], ERROR_SPEED * self._dt)
            there = np.array_equal(executed[:3], goal[:3])
            if there and len(self._way) > 1:
                del self._way[0]
            # A displaced arm goes on at once: labels of waiting would teach to wait.
            elif there and self._error in ("displace", "leave", "astray"):
                self._error_steps = 0
        if self._error == "release":
            executed[6] = GRIPPER_OPEN
        if self._error == "miss" and np.linalg.norm(now.commanded[:3] - executed[:3]) < 0.01:
            executed[6] = 0.0
        if self._error_steps == 0:
            self._error = None
        return executed


def _moved(command: NDArray[np.float64], offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """A command shifted by (6,) [m, rad], turned in the base frame, kept above the table."""
    result = command.copy()
    result[:3] += offset[:3]
    result[2] = max(result[2], min(command[2], LOWEST))
    turned = Rotation.from_rotvec(offset[3:]) * Rotation.from_rotvec(command[3:6])
    result[3:6] = turned.as_rotvec()
    return result


def _approached(
    start: NDArray[np.float64], goal: NDArray[np.float64], distance: float
) -> NDArray[np.float64]:
    """A pose at most ``distance`` [m] along the way to another, turned in proportion."""
    way = goal[:3] - start[:3]
    share = min(1.0, distance / max(float(np.linalg.norm(way)), 1e-6))
    first = Rotation.from_rotvec(start[3:])
    turn = (Rotation.from_rotvec(goal[3:]) * first.inv()).as_rotvec()
    position = goal[:3] if share == 1.0 else start[:3] + share * way
    return np.concatenate([position, (Rotation.from_rotvec(share * turn) * first).as_rotvec()])
