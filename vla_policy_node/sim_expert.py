"""The scripted expert in the place of policy_node: one end-effector command a state.

It sees the simulator's state, and so lives in the simulator's node; what it wants goes the same way
as a policy's: chunk player, arm_node, gate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from vla_msgs.msg import EndEffectorCommand, EndEffectorState

from vla_policy import conversions
from vla_policy.contract import ActionChunk
from vla_policy.player import ChunkPlayer
from vla_policy_node.qos import COMMAND
from vla_sim.constants import STEP_DT
from vla_sim.experts import Expert
from vla_sim.simulation import Simulation

if TYPE_CHECKING:
    from vla_policy_node.lifecycle import SettingsNode

_EPSILON = 1e-6
WAITS = "the expert waits: time stands still"


class SimExpert:
    """Answers every ``ee_state`` with one ``ee_command``.

    Args:
        node: the simulator's node.
        sim: its world.
        paused: whether time stands still, and the arm shall.
    """

    def __init__(self, node: SettingsNode, sim: Simulation, paused: Callable[[], bool]) -> None:
        self._node, self._sim, self._paused = node, sim, paused
        self._out = node.publisher(EndEffectorCommand, "ee_command", COMMAND)
        node.subscribe(EndEffectorState, "ee_state", self._on_state, COMMAND)

    def begin(self, start: float) -> None:
        """Solve the scene that was just made, from robot time ``start`` [s] on."""
        self._start = start
        self._expert = Expert(self._sim, np.random.default_rng(self._sim.episode.seed))
        self._player, self._chunks = ChunkPlayer(), 0
        self._answered: tuple[float, EndEffectorCommand] | None = None

    def _on_state(self, message: EndEffectorState) -> None:
        stamp = conversions.seconds(message.header.stamp)
        if not self._node.active or stamp < self._start - _EPSILON:
            return
        if self._answered is not None and stamp == self._answered[0]:
            self._out.publish(self._answered[1])
        elif self._paused():
            self._out.publish(self._message(message, EndEffectorCommand.HOLD, WAITS))
        else:
            self._answered = stamp, self._move(stamp, message)
            self._out.publish(self._answered[1])

    def _move(self, stamp: float, state: EndEffectorState) -> EndEffectorCommand:
        if self._player.newest is None:
            pose = conversions.pose_from_message(state.commanded)
            self._player.reset(np.append(pose, state.gripper_commanded))
        if stamp >= self._player.next_due(1) - _EPSILON:
            target = self._expert.act()[None].astype(np.float32)
            self._player.add(ActionChunk(target, stamp, STEP_DT, sequence=self._chunks))
            self._chunks += 1
        pose, chunk = self._player.sample(stamp), self._player.newest
        if pose is None or chunk is None:
            return self._message(state, EndEffectorCommand.HOLD, "the expert's step has run out")
        message = self._message(state, EndEffectorCommand.MOVE)
        conversions.pose_to_message(pose, message.pose)
        message.gripper, message.sequence = float(pose[6]), chunk.sequence
        conversions.set_stamp(message.observation_stamp, chunk.stamp)
        return message

    def _message(self, state: EndEffectorState, mode: int, reason: str = "") -> EndEffectorCommand:
        return EndEffectorCommand(header=state.header, mode=mode, reason=reason)
