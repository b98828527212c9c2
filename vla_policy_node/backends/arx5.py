"""The real ARX5: joint targets to the driver's child, its states to ``joint_states``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sensor_msgs.msg import JointState

from vla_arm.arx5.driver import Driver
from vla_arm.arx5.virtual import VirtualDriver
from vla_arm.arx5.wire import ChildConfig, Report
from vla_arm.backend import ArmState
from vla_arm.command import JointCommand
from vla_arm.joint_table import ArmModel
from vla_policy.conversions import set_stamp
from vla_policy_node.arm_limits import speed_share
from vla_policy_node.qos import COMMAND

if TYPE_CHECKING:
    from vla_policy_node.lifecycle import SettingsNode

POLL = 0.004
"""Between looks at the child [s]."""
PERIOD = 0.02
"""Between states [s]."""
GRIPPER, FINGER = "gripper", "finger_left"
_DRY = "dry run: nothing is sent to the motors"
_TEACH = "teach mode: the arm is guided by hand and follows no commands"


class Arx5:
    """One arm behind one CAN interface.

    Args:
        node: the node that speaks; its settings name mode and interface.
        arm: the arm's numbers.
        on_measurement: takes each state.
        on_fault: not needed: :attr:`trouble` is looked at all the time.
    """

    def __init__(
        self,
        node: SettingsNode,
        arm: ArmModel,
        on_measurement: Callable[[ArmState], None],
        on_fault: Callable[[str], None],
    ) -> None:
        self._node, self._on_measurement = node, on_measurement
        self._names = [*arm.joint_names, GRIPPER, FINGER]
        self._state: ArmState | None = None
        self._mode: str = node.settings.hardware_mode
        self._driver: Driver | VirtualDriver
        if self._mode == "dry_run":
            self._driver = VirtualDriver(PERIOD)
        else:
            config = ChildConfig.of_arm(arm, node.settings.can_interface, PERIOD)
            self._driver = Driver(config, self._log)
        self._out = node.publisher(JointState, "joint_states", COMMAND)

    def _log(self, text: str) -> None:
        self._node.get_logger().error(text)

    @property
    def trouble(self) -> str:
        """See :class:`ArmBackend`."""
        return self._driver.trouble

    @property
    def passive(self) -> str:
        """See :class:`ArmBackend`."""
        return _TEACH if self._mode == "teach" else ""

    @property
    def note(self) -> str:
        """See :class:`ArmBackend`."""
        return _DRY if self._mode == "dry_run" else ""

    @property
    def driver(self) -> Driver | VirtualDriver:
        """What drives the arm."""
        return self._driver

    def connect(self) -> None:
        """See :class:`ArmBackend`; the child comes up meanwhile."""
        self._driver.start()
        self._node.every(POLL, self._poll)

    def engage(self) -> str:
        """See :class:`ArmBackend`."""
        return self._driver.teach() if self.passive else self._driver.engage()

    def damp(self) -> None:
        """See :class:`ArmBackend`."""
        self._driver.damp()

    def send(self, command: JointCommand) -> None:
        """See :class:`ArmBackend`."""
        if not self.passive:
            self._driver.follow(command.positions, command.gripper)

    def state(self) -> ArmState | None:
        """See :class:`ArmBackend`."""
        return self._state

    def stop(self) -> None:
        """See :class:`ArmBackend`; takes the seconds that damping takes."""
        self._driver.stop()

    def _poll(self) -> None:
        settings = self._node.settings
        speed_scale = settings.joint_speed_scale * speed_share(settings)
        self._driver.limit(settings.torque_scale, speed_scale)
        news = self._driver.poll()
        if news:
            self._publish(news[-1])

    def _publish(self, report: Report) -> None:
        age = time.monotonic() - report.time
        stamp = self._node.ros_time() - age
        message = JointState(name=self._names)
        set_stamp(message.header.stamp, stamp)
        message.header.frame_id = "base_link"
        gripper = report.gripper
        message.position = [*report.positions.tolist(), gripper, gripper / 2]
        message.velocity = [*report.velocities.tolist(), 0.0, 0.0]
        message.effort = [*report.torques.tolist(), 0.0, 0.0]
        self._out.publish(message)
        self._state = ArmState(report.positions, report.velocities, gripper, stamp)
        self._on_measurement(self._state)
