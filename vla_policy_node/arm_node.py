"""arm_node: end-effector commands in, joint targets out, through IK and the safety gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rclpy.parameter import Parameter
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from vla_msgs.msg import ArmStatus, EndEffectorCommand, EndEffectorState

from vla_arm.backend import ArmState
from vla_arm.controller import EndEffectorController, JointCommand, Reason
from vla_arm.joint_table import get_arm
from vla_arm.kinematics import ArmKinematics
from vla_policy import conversions
from vla_policy.errors import PolicyError
from vla_policy_node.arm_limits import limits_of, refusal, speed_share
from vla_policy_node.backends import make_backend
from vla_policy_node.clock import Arrival, FrozenClock, Pace, StampJump
from vla_policy_node.homing import Homing
from vla_policy_node.lifecycle import ERROR, OK, WARN, SettingsNode, run
from vla_policy_node.qos import COMMAND, LATCHED, REPORT
from vla_policy_node.settings import ArmSettings
from vla_policy_node.transforms import make_transforms

CONTROL_DT = 0.02
"""Time between commands [s]. Joint states that come faster are looked at and not answered."""
BEHIND = 0.5
"""An arm that moves and is so far from where it was sent does not follow [rad]."""
WATCHDOG_PERIOD = 0.02
MOST_STEPS = 2
"""Commands obeyed after one joint state: two where one was late; a flood buys no speed."""
STATUS_PERIOD = 0.5
WAY_POINTS = 50
"""At which the way home is held against the workspace."""


class ArmNode(SettingsNode[ArmSettings]):
    """Publishes one ``ee_state`` a joint state, and sends one joint target a command."""

    def __init__(self, **options: Any) -> None:
        super().__init__("arm_node", ArmSettings, **options)
        self._latched: tuple[Reason, str] | None = None

    def configure(self) -> None:
        """Build the controller and connect the backend."""
        settings = self.settings
        arm = get_arm(settings.arm)
        self._controller = EndEffectorController(arm, limits_of(settings), CONTROL_DT)
        if self._latched:  # a stop outlives a clean-up
            self._controller.stop()
        self._kinematics = ArmKinematics(arm)
        self._commands, self._states = Arrival(), Arrival()
        self._jump, self._pace = StampJump(settings.restart_gap), Pace(CONTROL_DT)
        self._answered: float | None = None
        self._frozen = FrozenClock()
        self._homing: Homing | None = None
        self._measured: ArmState | None = None
        self._last: tuple[tuple[float, int, int], JointCommand] | None = None
        self._state, self._reason, self._text = ArmStatus.INACTIVE, Reason.OK, "not active"
        self._fault = ""
        self._refused_since: float | None = None
        self._refusing = 0.0
        self._steps = self._flooded = 0
        self._state_out = self.publisher(EndEffectorState, "ee_state", COMMAND)
        self._status_out = self.publisher(ArmStatus, "arm_status", LATCHED)
        self._transforms = None
        if settings.publish_tf:
            self._transforms = make_transforms(self, settings.base_frame, settings.tool_frame)
        self._backend = make_backend(
            settings.backend, self, arm, self._on_measurement, self._on_fault
        )
        self._backend.connect()
        self.subscribe(EndEffectorCommand, "ee_command", self._on_command, COMMAND)
        # Not only the newest: a button that is let go at once must not take back its own stop.
        self.subscribe(Bool, "emergency_stop", self._on_emergency_stop, REPORT)
        self.serve(Trigger, "estop", self._on_estop)
        self.serve(Trigger, "reset_estop", self._on_reset_estop)
        self.serve(Trigger, "home", self._on_home)
        self.every(WATCHDOG_PERIOD, self._on_watchdog)
        self.every(STATUS_PERIOD, self._publish_status)

    def activate(self) -> None:
        """Follow commands from now on, starting from where the arm is."""
        self._jump, self._pace = StampJump(self.settings.restart_gap), Pace(CONTROL_DT)
        self._commands.forget()
        self._measured, self._fault = None, ""
        self._engaged = False
        if self._latched:
            self._enter(ArmStatus.ESTOP, *self._latched)
        else:
            self._enter(ArmStatus.HOLD, Reason.NO_JOINT_STATES, "no joint_states yet")

    def deactivate(self) -> None:
        """Hold the arm where it was last sent."""
        self._hold(Reason.OTHER)
        self._measured = None  # it may be moved meanwhile
        self._enter(ArmStatus.INACTIVE, Reason.OTHER, "not active")

    def settings_changed(self) -> None:
        """Limits may have become tighter."""
        self._controller.set_limits(limits_of(self.settings))

    def objection(self, given: Sequence[Parameter]) -> str:
        """Limits only tighten while the arm may move."""
        now = {name: self.get_parameter(name).value for name in ArmSettings.__dataclass_fields__}
        return refusal(now, {p.name: p.value for p in given if p.name in now})

    def cleanup(self) -> None:
        """Let go of the arm."""
        self._backend.stop()

    def health(self) -> tuple[bytes, str, Mapping[str, object]]:
        """See :meth:`SettingsNode.health`."""
        level = {ArmStatus.HOLD: WARN, ArmStatus.ESTOP: ERROR}.get(self._state, OK)
        text = self._fault or self._text
        if self._fault and level == OK:
            level = WARN
        values: dict[str, object] = dict(self._controller.counters.as_dict())
        values["flooded"] = self._flooded
        values["joint_states silent"] = f"{self._states.silence():.2f} s"
        values["ee_command silent"] = f"{self._commands.silence():.2f} s"
        return level, text, values

    # What comes in.

    def _on_measurement(self, measured: ArmState) -> None:
        if not self.active:
            return
        self._states.mark(measured.stamp)
        self._fault = ""
        if not self._engaged and not self._controller.stopped and not self._backend.trouble:
            self._engaged = not self._backend.engage()
        if self._jump(measured.stamp):
            self._pace = Pace(CONTROL_DT)
            # A reset or an outage: go on from where the arm is, not from where it was sent.
            self._controller.reset(measured.positions, measured.gripper)
            self._commands.forget()
            self._homing = self._last = self._refused_since = None
            self._refusing = 0.0
            self._enter(*self._rest())
        elif self._backend.passive:
            self._controller.reset(measured.positions, measured.gripper)
        elif self._controller.observe(measured.positions):
            self.get_logger().warning("the arm was moved from outside: holding it where it is")
            self._last = None
            self._hold_here()
        elif self._behind(measured):
            self._controller.reset(measured.positions, measured.gripper)
            self._homing = self._last = None
            self._hold_here()
            text = f"the arm is more than {BEHIND} rad from where it was sent"
            self._enter(ArmStatus.HOLD, Reason.OTHER, text)
        if self._state == ArmStatus.HOLD and self._reason == Reason.NO_JOINT_STATES:
            self._enter(*self._rest())
        self._measured = measured
        fresh = self._pace(measured.stamp)
        # A simulator that missed the answer asks again; in lockstep it may get another one.
        again = measured.stamp == self._answered
        if fresh or (again and self.settings.lockstep):
            self._steps = min(self._steps + 1, MOST_STEPS)
        if fresh or again:
            self._answered = measured.stamp
            self._publish_state(measured)
        if fresh and self._homing is not None:
            self._go_home(self._homing)

    def _behind(self, measured: ArmState) -> bool:
        """Whether the arm does not follow, say because its controller is off: what was sent would
        be a leap once it is on again. A simulator in lockstep cannot leave anything behind."""
        if self._state != ArmStatus.MOVING or self.settings.lockstep:
            return False
        return bool(np.abs(measured.positions - self._controller.positions).max() > BEHIND)

    def _on_fault(self, text: str) -> None:
        if text != self._fault:
            self.get_logger().warning(text)
        self._fault = text
        self.report_health()

    def _on_command(self, message: EndEffectorCommand) -> None:
        if not self.active or self._measured is None:
            return
        stamp = conversions.seconds(message.header.stamp)
        key = stamp, int(message.mode), int(message.sequence)
        moves = message.mode == EndEffectorCommand.MOVE
        if self._last is not None and self._last[0] == key and (moves or self.settings.lockstep):
            # No second step for one state. In lockstep the simulator asks again where our answer
            # was lost; else somebody repeats himself, which is no sign of life.
            if self.settings.lockstep:
                self._backend.send(self._last[1])
            return
        self._commands.mark(stamp)
        if self._homing is not None:
            return
        if self._steps <= 0:
            self._flooded += 1
            return
        self._steps -= 1
        command, text = self._judge(message, stamp)
        self._last = key, command
        if self._arm_is_known:
            self._backend.send(command)
        self._note(command, text, stamp, moving=moves)

    def _judge(self, message: EndEffectorCommand, stamp: float) -> tuple[JointCommand, str]:
        """Turn a command into joint targets, or into the reason why not."""
        controller = self._controller
        if message.mode != EndEffectorCommand.MOVE:
            return controller.hold(Reason.POLICY_HOLD), message.reason
        if message.header.frame_id not in ("", self.settings.base_frame):
            text = f"frame {message.header.frame_id!r}, expected {self.settings.base_frame!r}"
            return controller.hold(Reason.OTHER), text
        if blocked := self._blocked():
            return controller.hold(blocked[0]), blocked[1]
        if passive := self._backend.passive:
            return controller.hold(Reason.OTHER), passive
        try:
            pose = conversions.pose_from_message(message.pose)
        except PolicyError as error:
            return controller.hold(Reason.NOT_FINITE), str(error)
        command = controller.command(
            [*pose, message.gripper],
            stamp,
            self._now(),
            conversions.seconds(message.observation_stamp),
        )
        if command.accepted:
            return command, ""
        return command, f"{command.reason.text} (target {pose.round(3).tolist()})"

    # Watching.

    def _on_watchdog(self) -> None:
        if (trouble := self._backend.trouble) and not self._controller.stopped:
            self._stop(Reason.BACKEND_LOST, trouble)  # latched also while nobody is active
        if not self.active:
            return
        if self._measured is None and not self._controller.stopped:
            if self._fault:
                self._enter(ArmStatus.HOLD, Reason.NO_JOINT_STATES, self._fault)
            return
        blocked = self._blocked()
        if blocked is None and not self.settings.lockstep and self._commands.stamp is not None:
            silence = self._commands.silence()
            if silence > self.settings.command_timeout and self._homing is None:
                blocked = Reason.WATCHDOG, f"no ee_command for {self.settings.command_timeout} s"
        if blocked is None or self._state in (ArmStatus.ESTOP, ArmStatus.INACTIVE):
            return
        if self._state != ArmStatus.HOLD or self._reason != blocked[0]:
            self._homing = None
            self._hold(blocked[0])
            self._enter(ArmStatus.HOLD, *blocked)

    def _blocked(self) -> tuple[Reason, str] | None:
        """Say what keeps the arm from moving, judged by clocks that cannot freeze together."""
        if self.settings.lockstep:
            return None
        limit = self.settings.joint_states_timeout
        if self._states.silence() > limit:
            return Reason.NO_JOINT_STATES, self._fault or f"no joint_states for {limit} s"
        if self._frozen.standing(self._now()) > limit:
            return Reason.OTHER, f"the clock has stood still for {limit} s"
        return None

    def _now(self) -> float:
        """The robot's time [s]: in lockstep the newest state's stamp, else the ROS clock."""
        if self.settings.lockstep and self._states.stamp is not None:
            return self._states.stamp
        return self.ros_time()

    def _hold_here(self) -> None:
        """Send at once where the arm was found. The simulator has one answer for each state."""
        if not self.settings.lockstep:
            self._backend.send(self._controller.hold(Reason.OTHER))

    def _hold(self, reason: Reason) -> None:
        """Send the last targets again, if they can be sent."""
        command = self._controller.hold(reason)
        if self._measured is not None and self._arm_is_known:
            self._backend.send(command)

    @property
    def _arm_is_known(self) -> bool:
        """Whether old targets can be sent: an arm that may be elsewhere by now would leap."""
        limit = self.settings.joint_states_timeout
        return self.settings.lockstep or self._states.silence() <= limit

    # Services.

    def _stop(self, reason: Reason, text: str) -> None:
        """Latch the stop, let the arm be damped where it can be, and say why."""
        self._controller.stop()
        self._homing = None
        self._hold(reason)
        self._backend.damp()
        self._engaged = False
        self._latched = reason, f"{text}; stopped until reset_estop"
        self._enter(ArmStatus.ESTOP, *self._latched)

    def _on_emergency_stop(self, message: Bool) -> None:
        if message.data:
            self._stop(Reason.ESTOP, "emergency stop by topic")

    def _on_estop(self, request: Any, response: Trigger.Response) -> Trigger.Response:
        self._stop(Reason.ESTOP, "emergency stop")
        response.success, response.message = True, "stopped"
        return response

    def _on_reset_estop(self, request: Any, response: Trigger.Response) -> Trigger.Response:
        if not self.active:
            response.success, response.message = False, "arm_node is not active"
            return response
        if self._controller.stopped:
            # The arm may have sunk or been moved: go on from where it is.
            if why := self._backend.engage():
                response.success, response.message = False, f"the arm is not ready: {why}"
                return response
            self._engaged = True
            if self._measured is not None:
                self._controller.reset(self._measured.positions, self._measured.gripper)
        self._controller.reset_stop()
        self._latched = self._last = None
        if self._state == ArmStatus.ESTOP:
            self._enter(*self._rest())
        response.success, response.message = True, "released"
        return response

    def _on_home(self, request: Any, response: Trigger.Response) -> Trigger.Response:
        if self._state != ArmStatus.READY or self._measured is None:
            response.success, response.message = False, f"the arm is not READY: {self._text}"
            return response
        gripper = float(self._controller.commanded_pose()[6])
        speed = self.settings.home_speed * speed_share(self.settings)
        homing = Homing(self._measured.positions, gripper, speed)
        if self._controller.leaves_workspace(homing.way(WAY_POINTS)):
            response.success = False
            response.message = "the way home leads out of the workspace: guide the arm, or widen it"
            return response
        self._homing = homing
        self._last = None
        self._enter(ArmStatus.MOVING, Reason.OK, "moving home")
        response.success = True
        response.message = f"moving home, {self._homing.duration:.1f} s"
        return response

    def _go_home(self, homing: Homing) -> None:
        positions, gripper = homing.step(CONTROL_DT)
        command = self._controller.joint_command(positions, gripper)
        self._backend.send(command)
        if not command.accepted:
            self._homing = None
            self._enter(ArmStatus.HOLD, command.reason, f"moving home: {command.reason.text}")
        elif homing.done and not command.limited:  # else it is still on its way
            self._homing = None
            self._enter(*self._rest())

    # What goes out.

    def _note(self, command: JointCommand, text: str, stamp: float, *, moving: bool) -> None:
        """Keep the books of accepted and refused commands."""
        if command.accepted:
            self._refused_since, self._refusing = None, 0.0
            self._enter(ArmStatus.MOVING, Reason.OK, self._noted("following commands"))
        elif self._latched:
            self._enter(ArmStatus.ESTOP, *self._latched)
        elif not moving and not self._backend.passive:
            self._refused_since, self._refusing = None, 0.0
            if self._blocked() is None:
                self._enter(ArmStatus.READY, Reason.POLICY_HOLD, text)
        else:
            self._refused_since = stamp if self._refused_since is None else self._refused_since
            before, self._refusing = self._refusing, stamp - self._refused_since
            self._enter(ArmStatus.HOLD, command.reason, text)
            if int(before * 10) != int(self._refusing * 10):
                self._publish_status()

    def _rest(self) -> tuple[int, Reason, str]:
        if self._latched:
            return ArmStatus.ESTOP, *self._latched
        if self._backend.passive:
            return ArmStatus.HOLD, Reason.OTHER, self._backend.passive
        return ArmStatus.READY, Reason.OK, self._noted("ready")

    def _noted(self, text: str) -> str:
        return f"{text} ({self._backend.note})" if self._backend.note else text

    def _enter(self, state: int, reason: Reason, text: str) -> None:
        changed = (state, reason) != (self._state, self._reason)
        self._state, self._reason, self._text = state, reason, text
        if changed:
            self._publish_status()
            self.report_health()

    def _publish_status(self) -> None:
        counters = self._controller.counters
        message = ArmStatus(state=self._state, reason=int(self._reason), text=self._text)
        message.header.stamp = self.get_clock().now().to_msg()
        if self._states.stamp is not None:
            conversions.set_stamp(message.header.stamp, self._states.stamp)
        silence = self._commands.silence()
        message.age = silence if silence != float("inf") else -1.0
        message.refusing = self._refusing
        message.accepted, message.limited = counters.accepted, counters.limited
        message.refused = sum(counters.refused.values())
        message.backend = self.settings.backend
        self._status_out.publish(message)

    def _publish_state(self, measured: ArmState) -> None:
        pose = self._kinematics.forward(measured.positions)
        commanded = self._controller.commanded_pose()
        message = EndEffectorState()
        conversions.set_stamp(message.header.stamp, measured.stamp)
        message.header.frame_id = self.settings.base_frame
        conversions.pose_to_message(pose, message.measured)
        conversions.pose_to_message(commanded, message.commanded)
        message.gripper_measured = measured.gripper
        message.gripper_commanded = float(commanded[6])
        self._state_out.publish(message)
        if self._transforms is not None:
            self._transforms.publish(measured.stamp, pose)


def main() -> None:
    """Run the node."""
    run(ArmNode)


if __name__ == "__main__":
    main()
