"""Drive the arm by hand, from a terminal or a gamepad, in the place of policy_node.

``ros2 run lean_vla teleop`` in a terminal of its own; ``--gamepad`` listens to ``joy``
(``ros2 run joy joy_node``). It answers each ``ee_state`` with one ``ee_command``; inverse
kinematics, limits and the safety gate stay arm_node's. Nothing pressed is HOLD, and when this ends,
the arm holds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import select
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Joy
from std_srvs.srv import Trigger
from vla_msgs.msg import ArmStatus, EndEffectorCommand, EndEffectorState

from vla_policy import conversions
from vla_policy_node import clock
from vla_policy_node.errors import NodeError
from vla_policy_node.qos import COMMAND, LATCHED, REPORT
from vla_policy_node.shared_memory import open_context
from vla_policy_node.teleop import HELP, Gamepad, Keyboard, Steering

MARKS = {
    "b": ("start_episode",),
    "y": ("mark_success", "end_episode"),
    "n": ("mark_failure", "end_episode"),
}
"""Key to the recorder's services that it calls, in order."""
NOTHING = "the operator presses nothing"
CHECK_PERIOD = 0.5
"""How often to see whether somebody else commands the arm [s]."""


class TeleopNode(Node):
    """Commands what the operator wants.

    Args:
        gamepad: listen to ``joy`` rather than to keys.
        steering: how fast.
        options: of :class:`rclpy.node.Node`.
    """

    def __init__(self, gamepad: bool, steering: Steering, **options: Any) -> None:
        super().__init__("teleop", **options)
        self.keyboard, self._gamepad = Keyboard(), Gamepad()
        self._input = self._gamepad if gamepad else self.keyboard
        self._steering = steering
        self._last: float | None = None
        self._arm = ""
        self._out = self.create_publisher(EndEffectorCommand, "ee_command", COMMAND)
        self.create_subscription(EndEffectorState, "ee_state", self._on_state, COMMAND)
        self.create_subscription(ArmStatus, "arm_status", self._on_arm, LATCHED)
        self.create_subscription(Joy, "joy", self._on_joy, REPORT)
        self.create_timer(CHECK_PERIOD, self.check_alone)
        self._markers = {
            name: self.create_client(Trigger, name) for names in MARKS.values() for name in names
        }

    def check_alone(self) -> None:
        """See that nobody else commands the arm.

        Raises:
            NodeError: somebody does.
        """
        if self.count_publishers("ee_command") > 1:
            others = self.get_publishers_info_by_topic(self._out.topic_name)
            names = sorted({each.node_name for each in others} - {self.get_name()})
            raise NodeError("publisher of ee_command", got=", ".join(names), expected="only teleop")

    def press(self, key: str) -> None:
        """Take a key of the operator's."""
        if self.keyboard.press(key, clock.steady()):
            return
        for name in MARKS.get(key, ()):
            client = self._markers[name]
            if not client.service_is_ready():
                self.get_logger().warning(f"{name}: no recorder_node is there")
                return
            client.call_async(Trigger.Request()).add_done_callback(
                lambda future, name=name: self._say(name, future.result())
            )

    def _say(self, name: str, answer: Trigger.Response | None) -> None:
        if answer is not None:
            (self.get_logger().info if answer.success else self.get_logger().warning)(
                f"{name}: {answer.message}"
            )

    def _on_joy(self, message: Joy) -> None:
        self._gamepad.hear(message.axes, message.buttons, clock.steady())

    def _on_arm(self, message: ArmStatus) -> None:
        """Say once in words why the arm does not follow."""
        text = "" if message.state in (ArmStatus.READY, ArmStatus.MOVING) else message.text
        if text and text != self._arm:
            self.get_logger().warning(f"the arm: {text}")
        if text:  # what was on its way is not to go on by itself when the arm can again
            self._steering.gripper = None
        self._arm = text

    def _on_state(self, message: EndEffectorState) -> None:
        stamp = conversions.seconds(message.header.stamp)
        dt = 0.0 if self._last is None else stamp - self._last
        self._last = stamp
        commanded = np.append(
            conversions.pose_from_message(message.commanded), message.gripper_commanded
        )
        target = self._steering.steer(self._input.wish(clock.steady()), commanded, dt)
        answer = EndEffectorCommand(mode=EndEffectorCommand.HOLD, reason=NOTHING)
        if target is not None:
            answer = EndEffectorCommand(mode=EndEffectorCommand.MOVE, gripper=float(target[6]))
            conversions.pose_to_message(target, answer.pose)
            answer.observation_stamp = message.header.stamp  # the operator saw it just now
        answer.header = message.header
        self._out.publish(answer)


@contextlib.contextmanager
def single_keys(terminal: int) -> Iterator[None]:
    """A terminal that gives every key at once, and shows none; as before afterwards."""
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


_SEQUENCE = re.compile(r"\x1b(\[[0-9;]*[A-Za-z~]?|O[A-Za-z]?|.)?")
"""What a terminal sends for arrows, function keys and Alt: no letters, though it ends in some."""


def read_keys(terminal: int) -> str:
    """The keys that wait in a terminal; empty if none."""
    if not select.select([terminal], [], [], 0.0)[0]:
        return ""
    keys = os.read(terminal, 64).decode(errors="ignore")
    return _SEQUENCE.sub("", keys).lower()


def main(argv: Sequence[str] | None = None) -> int:
    """Drive until Ctrl-C; exit code 1 when another node commands the arm."""
    parser = argparse.ArgumentParser(description="Drive the arm by hand.")
    add: Any = parser.add_argument
    add("--gamepad", action="store_true", help="listen to the topic joy; keys only mark episodes")
    add("--speed", type=float, default=Steering.linear, help="greatest speed [m/s]")
    add("--turn", type=float, default=Steering.angular, help="greatest angular speed [rad/s]")
    words = sys.argv[1:] if argv is None else list(argv)
    arguments = parser.parse_args(remove_ros_args(words))
    if not (arguments.gamepad or sys.stdin.isatty()):
        print("error: keys need a terminal: `ros2 run lean_vla teleop` there", file=sys.stderr)
        return 1
    context = open_context(words)
    steering = Steering(arguments.speed, arguments.turn)
    node = TeleopNode(arguments.gamepad, steering, context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    keys = sys.stdin.fileno() if sys.stdin.isatty() else None
    print(HELP, flush=True)
    try:
        with single_keys(keys) if keys is not None else contextlib.nullcontext():
            while context.ok():
                executor.spin_once(timeout_sec=0.01)
                for key in read_keys(keys) if keys is not None else "":
                    node.press(key)
    except NodeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    finally:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
