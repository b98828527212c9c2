"""sim_node: the simulated arm and its cameras; joint targets in, what a real arm would say out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from vla_msgs.msg import TaskStatus
from vla_msgs.srv import ResetSimulation

from vla_policy.conversions import joint_values, seconds, set_stamp
from vla_policy.errors import PolicyError
from vla_policy_node.lifecycle import OK, WARN, SettingsNode, run
from vla_policy_node.pacer import Pacer
from vla_policy_node.qos import COMMAND, REPORT
from vla_policy_node.settings import SimSettings
from vla_policy_node.sim_cameras import SimCameras
from vla_policy_node.sim_expert import SimExpert
from vla_policy_node.world_clock import WorldClock
from vla_sim.constants import CONTROL_DT, STEP_DT
from vla_sim.errors import SimulationError
from vla_sim.simulation import ARM_JOINTS, Simulation

GRIPPER = "gripper"
IMAGE_TICKS = round(STEP_DT / CONTROL_DT)
RESEND_PERIOD = 0.2
"""In lockstep, or paused, what went out for this tick goes out again so often [s]: others may have
joined since."""


class SimNode(SettingsNode[SimSettings]):
    """Runs the world, paced by the wall clock or in lockstep with the commands."""

    def __init__(self, **options: Any) -> None:
        super().__init__("sim_node", SimSettings, **options)
        self._sim: Simulation | None = None

    def configure(self) -> None:
        """Make the world and reset it."""
        settings = self.settings
        self._names = [*ARM_JOINTS, GRIPPER]
        self._sim = Simulation(settings.image_size)
        self._time = WorldClock()
        self._pacer = Pacer(CONTROL_DT, settings.speed)
        self._viewer: Any = None
        self._trouble = ""
        self._clock_out = self.publisher(Clock, "/clock", COMMAND)
        self._joints_out = self.publisher(JointState, "joint_states", COMMAND)
        self._task_out = self.publisher(TaskStatus, "task_status", REPORT)
        self._cameras = SimCameras(self, self._sim)
        self._expert = None
        if settings.expert:
            self._expert = SimExpert(self, self._sim, lambda: self.settings.paused)
        self._begin(settings.task, settings.seed, settings.instructions, False)
        self.subscribe(JointState, "joint_commands", self._on_target, COMMAND)
        self.serve(ResetSimulation, "reset_simulation", self._on_reset)
        if settings.mode == "paced":
            self._alarm = self.every(CONTROL_DT / settings.speed, self._on_pace)
        self.every(RESEND_PERIOD, self._on_resend)

    def activate(self) -> None:
        """Let time run."""
        if self.settings.viewer:
            self._open_viewer()
        self._pacer.restart()
        self._publish()

    def deactivate(self) -> None:
        """Let time stand still."""
        self._close_viewer()

    def cleanup(self) -> None:
        """Let go of the world."""
        self._close_viewer()
        if self._sim is not None:
            self._sim.close()
        self._sim = None

    def health(self) -> tuple[bytes, str, Mapping[str, object]]:
        """See :meth:`SettingsNode.health`."""
        episode, factor = self.sim.episode, self._pacer.real_time_factor
        paced = self.settings.mode == "paced"
        slow = paced and self.active and not self.settings.paused and factor < 0.9
        text = self._trouble or (
            f"slower than {self.settings.speed} x real time" if slow else self.settings.mode
        )
        values: dict[str, object] = {"task": episode.task, "seed": episode.seed}
        values["instruction"] = episode.instruction
        if paced:
            values["real_time_factor"] = f"{factor:.3f}"
        return WARN if slow or self._trouble else OK, text, values

    @property
    def sim(self) -> Simulation:
        """The world; only after configure."""
        assert self._sim is not None, "configured"
        return self._sim

    # Time.

    def _begin(self, task: str, seed: int, instructions: str, swap: bool) -> None:
        self.sim.reset(task, seed, instructions=instructions, swap=swap)
        self._time.restart(0.0 if self.settings.publish_clock else self.ros_time())
        self._tick, self._done = 0, False
        self._target = self.sim.joint_target()
        self._stamp = self._time(0.0)
        self._pacer.restart()
        self._fresh = True
        if self._expert is not None:
            self._expert.begin(self._stamp)

    def _on_pace(self) -> None:
        if not self.active or self.settings.paused:
            self._pacer.restart()
        elif self._pacer.due() and self._in_time():
            self._step()
        self._alarm.timer_period_ns = round(1e9 * self._pacer.wait())
        self._alarm.reset()

    def _in_time(self) -> bool:
        """Whether the next tick's stamp may come now: without a clock of ours it is the wall's."""
        if self.settings.publish_clock:
            return True
        return self._time.keep_to(self.ros_time(), (self._tick + 1) * CONTROL_DT)

    def _step(self) -> None:
        self.sim.step(*self._target)
        self._tick += 1
        self._stamp = self._time(self._tick * CONTROL_DT)
        self._fresh = True
        self._publish()
        if self._viewer is not None and self._tick % 2 == 0:
            self._viewer.sync()

    def _on_resend(self) -> None:
        """Send again in lockstep or when paused, unless a tick went by since the last look."""
        if self.active and not self._fresh and self._waits():
            self._publish(again=True)
        self._fresh = False

    def _waits(self) -> bool:
        return self.settings.mode == "lockstep" or self.settings.paused

    def settings_changed(self) -> None:
        """See :meth:`SettingsNode.settings_changed`."""
        if self.active and not self.settings.paused and self.settings.mode == "lockstep":
            self._publish(again=True)

    # What comes in.

    def _on_target(self, message: JointState) -> None:
        if not self.active or self.settings.paused:
            return
        try:
            values = joint_values(message, self._names)
        except PolicyError as error:
            if str(error) != self._trouble:
                self.get_logger().warning(f"joint_commands: {error}")
            self._trouble = f"joint_commands: {error}"
            return
        self._trouble = ""
        stamp = seconds(message.header.stamp)
        if self.settings.mode == "paced":
            # One that was under way at a reset belongs to the world before.
            if stamp >= self._stamp - self._tick * CONTROL_DT - 1e-6:
                self._target = values[:6], float(values[6])
        elif abs(stamp - self._stamp) < CONTROL_DT / 2:
            self._target = values[:6], float(values[6])
            self._step()

    def _on_reset(
        self, request: ResetSimulation.Request, response: ResetSimulation.Response
    ) -> ResetSimulation.Response:
        task = request.task or self.sim.episode.task
        try:
            self._begin(task, request.seed, request.instructions or "train", request.swap)
        except (SimulationError, OverflowError) as error:
            response.ok, response.message = False, str(error)
            return response
        if self.active:
            self._publish()
        episode = self.sim.episode
        response.ok, response.instruction = True, episode.instruction
        response.time_limit = float(episode.time_limit)
        set_stamp(response.stamp, self._stamp)
        self.get_logger().info(f"{task} {request.seed}: {episode.instruction!r}")
        return response

    # What goes out. Images before joint states: those make everyone act.

    def _publish(self, again: bool = False) -> None:
        """Send all that belongs to this tick."""
        if self.settings.publish_clock:
            clock = Clock()
            set_stamp(clock.clock, self._stamp)
            self._clock_out.publish(clock)
        if again:
            self._cameras.publish_again()
        elif self._tick % IMAGE_TICKS == 0:
            self._cameras.publish(self._stamp)
        self._publish_task()
        joints = self.sim.joint_state()
        message = JointState(name=self._names)
        set_stamp(message.header.stamp, self._stamp)
        message.header.frame_id = "base_link"
        message.position = [*joints.positions.tolist(), joints.gripper]
        message.velocity = [*joints.velocities.tolist(), 0.0]
        self._joints_out.publish(message)

    def _publish_task(self) -> None:
        status = self.sim.status()
        risen = status.success and not self._done
        self._done = self._done or status.success
        if not risen and self._tick % IMAGE_TICKS:
            return
        episode = self.sim.episode
        message = TaskStatus(task=episode.task, instruction=episode.instruction)
        set_stamp(message.header.stamp, self._stamp)
        message.success = bool(self._done)
        message.success_held = float(status.holding_time)
        message.progress, message.phase = float(status.progress), status.phase
        message.seed, message.target = episode.seed, episode.target
        message.goal, message.objects = episode.goal or "", list(episode.objects)
        message.elapsed = self._tick * CONTROL_DT
        message.time_limit = float(episode.time_limit)
        self._task_out.publish(message)

    # The viewer.

    def _open_viewer(self) -> None:
        try:
            from mujoco import viewer  # needs a screen, and so must not be imported without one

            self._viewer = viewer.launch_passive(self.sim.model, self.sim.data)
        except Exception as error:  # every windowing system fails in its own way
            self.get_logger().warning(f"no viewer: {error}")

    def _close_viewer(self) -> None:
        if self._viewer is not None:
            self._viewer.close()
        self._viewer = None


def main() -> None:
    """Run the node."""
    run(SimNode)


if __name__ == "__main__":
    main()
