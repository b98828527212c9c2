"""policy_node: images, arm state and an instruction in; one end-effector command a state out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from vla_msgs.msg import (
    ActionChunk,
    ArmStatus,
    EndEffectorCommand,
    EndEffectorState,
    EpisodeMark,
    PolicyStatus,
    TaskStatus,
)

from vla_policy import conversions
from vla_policy.chunking import make_chunking
from vla_policy.contract import BASE_FRAME, validate_instruction
from vla_policy.contract import ActionChunk as Chunk
from vla_policy.errors import PolicyError
from vla_policy.observation import state_from_message
from vla_policy_node.camera import Camera, Cameras
from vla_policy_node.chunk_report import ChunkReport
from vla_policy_node.clock import Arrival, StampJump
from vla_policy_node.compute import ComputeControl
from vla_policy_node.errors import NodeError
from vla_policy_node.goal import Result
from vla_policy_node.goal_server import PATIENCE, GoalServer
from vla_policy_node.inference import Inference
from vla_policy_node.instruction import decode_string
from vla_policy_node.lifecycle import ERROR, OK, WARN, SettingsNode, run
from vla_policy_node.parameters import replaced
from vla_policy_node.pilot import Answer, Pilot
from vla_policy_node.policy_source import call_policy, compile_policy, make_policy, warm_up
from vla_policy_node.qos import COMMAND, LATCHED, REPORT
from vla_policy_node.settings import PolicySettings

ARM_STATUS_TIMEOUT = 2.0
"""The arm's status comes twice a second; without it for so long no goal is accepted [s]."""
JUMP = 0.5
"""A step of the arm's stamps by more than this, or back, begins everything anew [s]."""
STATUS_PERIOD = 0.5


class PolicyNode(SettingsNode[PolicySettings]):
    """Answers every ``ee_state`` with one ``ee_command``."""

    def __init__(self, **options: Any) -> None:
        super().__init__("policy_node", PolicySettings, **options)
        self._inference: Inference | None = None
        self._pilot: Pilot | None = None

    def configure(self) -> None:
        """Load the policy, think once to be warm, and connect."""
        settings = self.settings
        if settings.instruction:
            validate_instruction(settings.instruction)
        # Read by torch when it is first imported, which is now.
        if settings.torch_threads:
            os.environ["OMP_NUM_THREADS"] = str(settings.torch_threads)
        else:
            spare = len(os.sched_getaffinity(0)) - 1  # the other nodes need a core, too
            os.environ.setdefault("OMP_NUM_THREADS", str(max(1, spare)))
        self.policy = (
            call_policy(settings.policy_host, settings.policy_port, settings.policy_timeout)
            if settings.policy_host
            else make_policy(settings.policy, settings.device)
        )
        self.keep(getattr(self.policy, "close", lambda: None))
        self._compute = ComputeControl(self.policy)
        self._compute.apply(settings, settings.replan_steps)
        warm_up(self.policy, settings.warm_up, settings.chunking)
        if settings.torch_compile:
            self._compile(settings)
        compressed = settings.image_transport == "compressed"
        image_type = CompressedImage if compressed else Image
        self._camera_list = [
            Camera(name, lambda raw: deserialize_message(raw, image_type))
            for name in self.policy.cameras
        ]
        self._cameras = Cameras(self._camera_list, settings.image_timeout, settings.image_period)
        awake = self.create_guard_condition(self._on_thought)
        self.keep(lambda: self.destroy_guard_condition(awake))
        self._inference = Inference(self.policy, awake.trigger, self._compute.guard)
        self.keep(self._inference.close)
        self._pilot = Pilot(
            self.policy,
            self._inference,
            self._cameras,
            synchronous=settings.synchronous,
            synchronous_timeout=settings.synchronous_timeout,
            synchronous_image_timeout=settings.synchronous_image_timeout,
            seed_by_stamp=settings.seed_by_stamp,
            chunking=make_chunking(settings.chunking, self.policy),
        )
        self._jump = StampJump(JUMP)
        self._arm, self._arm_arrival = ArmStatus(), Arrival()
        self._frame = BASE_FRAME
        self._pending: float | None = None
        self._answered: tuple[float, EndEffectorCommand] | None = None
        self._report = ChunkReport(self.steady_clock)
        self._wanted = settings.instruction
        self._connect(image_type, "/compressed" if compressed else "")

    def _compile(self, settings: PolicySettings) -> None:
        runs = max(settings.warm_up, 1)
        why = compile_policy(self.policy, lambda: warm_up(self.policy, runs, settings.chunking))
        if why:
            self.warning = f"torch_compile: the policy is not compiled: {why}"
            self.get_logger().warning(self.warning)

    def _connect(self, image_type: type[Any], suffix: str) -> None:
        self._command_out = self.publisher(EndEffectorCommand, "ee_command", COMMAND)
        self._chunk_out = self.publisher(ActionChunk, "action_chunk", REPORT)
        self._status_out = self.publisher(PolicyStatus, "policy_status", REPORT)
        for camera in self._camera_list:
            topic = f"camera/{camera.name}/image_raw{suffix}"
            take = lambda raw, camera=camera: self._on_image(camera, raw)  # noqa: E731
            qos = REPORT if self.settings.reliable_images else qos_profile_sensor_data
            self.subscribe(image_type, topic, take, qos, raw=True)
        # Messages that wait together are taken in this order: the state, which is to be answered,
        # after all that the answer hangs on.
        self.subscribe(ArmStatus, "arm_status", self._on_arm, LATCHED)
        self.subscribe(String, "instruction", self._on_instruction, LATCHED, raw=True)
        self.subscribe(EndEffectorState, "ee_state", self._on_state, COMMAND)
        self._goals = GoalServer(
            self,
            trouble=self._goal_trouble,
            follow=self._follow,
            release=self._release,
            time_limit=lambda: self.settings.time_limit,
        )
        self.subscribe(TaskStatus, "task_status", self._goals.see_task, REPORT)
        self.subscribe(EpisodeMark, "episode_mark", self._goals.see_mark, REPORT)
        self.every(0.1, self._on_timer)
        self.every(STATUS_PERIOD, self._publish_status)

    def activate(self) -> None:
        """Answer states from now on."""
        self.pilot.stop()
        self.pilot.forget_arm()
        for camera in self._camera_list:
            camera.forget()
        self._jump = StampJump(JUMP)
        self._pending = self._answered = None

    def deactivate(self) -> None:
        """Stop following; the arm is told to hold."""
        self._goals.end(Result.CANCELED, "policy_node was deactivated")
        self.pilot.stop()
        if self._answered is not None:
            self._send(self._answered[0], Answer(None, "policy_node was deactivated"))

    def cleanup(self) -> None:
        """Let go of the policy."""
        self._pilot = self._inference = None
        del self.policy, self._compute  # or a next one would need room beside it

    def settings_changed(self) -> None:
        """Compute the next chunk as the parameters say."""
        self._compute.apply(self.settings, self.settings.replan_steps)
        self._cameras.timeout = self.settings.image_timeout

    def objection(self, given: Sequence[Parameter]) -> str:
        """What this policy can do is known only now."""
        if self._configured:
            try:
                self._compute.ceiling(replaced(self.settings, given))
            except NodeError as error:
                return str(error)
        return ""

    @property
    def pilot(self) -> Pilot:
        """What decides; only after configure."""
        assert self._pilot is not None, "configured"
        return self._pilot

    def health(self) -> tuple[bytes, str, Mapping[str, object]]:
        """See :meth:`SettingsNode.health`."""
        pilot = self.pilot
        level, text = OK, "running" if pilot.instruction else "idle"
        if complaint := pilot.complaint:
            level, text = ERROR if pilot.fault else WARN, complaint
        elif self.warning:
            level, text = WARN, self.warning
        elif self._compute.fallen_back:
            text = f"{text}, in full: the guard found {self._compute.disagreement}"
        elif self._compute.lowered:
            text = f"{text}, within compute.deadline_ms: {self._compute}"
        return (
            level,
            text,
            {
                "instruction": pilot.instruction,
                "chunks": pilot.chunks,
                "discarded chunks": pilot.discarded,
                "malformed inputs": pilot.malformed,
                "milliseconds per chunk": f"{self._report.milliseconds:.1f}",
                "milliseconds by stage": self._report.stages,
                "budget": str(self._compute),
                "disagreement with full compute": str(self._compute.disagreement or "not looked"),
            },
        )

    # What comes in.

    def _on_image(self, camera: Camera, raw: bytes) -> None:
        try:
            camera.put(raw)
        except PolicyError as error:
            self.warn(f"camera {camera.name}: {error}")
        if self._pending is not None:
            self._answer(self._pending)

    def _on_state(self, message: EndEffectorState) -> None:
        if not self.active:
            return
        stamp, self._frame = conversions.seconds(message.header.stamp), message.header.frame_id
        try:
            state = state_from_message(message)
            pose = conversions.pose_from_message(message.commanded)
        except PolicyError as error:
            self.pilot.malformed += 1
            self.warn(f"ee_state: {error}")
            self._send(stamp, Answer(None, str(error)))
            return
        if self._jump(stamp):
            self._begin_anew()
        if stamp == self._pending:
            return
        if self._answered is not None and stamp == self._answered[0]:
            self._command_out.publish(self._answered[1])
            return
        self.pilot.see_state(stamp, state, np.append(pose, message.gripper_commanded))
        # Who follows already needs no arm that waits: the old instruction gives way to the new.
        ready = self.pilot.instruction or not self._arm_trouble()
        if self._wanted and ready and not self._goals.goal:
            self._follow(self._wanted)
        if self._goals.goal:
            self._goals.goal.see_state(stamp, self.pilot.complaint)
        self._answer(stamp)

    def _on_thought(self) -> None:
        if self._inference is None:
            return
        if found := self._inference.take_judgement():
            self._tell(self._compute.judge(found, self.settings))
        if (thought := self._inference.take()) is None:
            return
        if (chunk := self.pilot.take(thought)) is not None:
            self._tell_chunk(chunk)
        if self._pending is not None:
            self._answer(self._pending)

    def _tell_chunk(self, chunk: Chunk) -> None:
        try:
            message = self._report.message(chunk)
        except (ValueError, TypeError, OverflowError) as error:
            self.pilot.fail(f"the chunk's report cannot be sent: {error}")
            return
        message.header.frame_id = self._frame_of(chunk)
        self._chunk_out.publish(message)
        self._publish_status()
        self._tell(self._compute.see(chunk.report))
        self._goals.see_chunk(chunk)

    def _tell(self, change: str) -> None:
        """Log a change of the budget, and publish diagnostics at once."""
        if change:
            self.get_logger().info(change)
            self.report_health()

    def _on_arm(self, message: ArmStatus) -> None:
        self._arm = message
        self._arm_arrival.mark(0.0)
        if message.state in (ArmStatus.ESTOP, ArmStatus.INACTIVE):
            self._goals.end(Result.HELD, f"the arm stopped: {message.text}")
        elif message.refusing >= self.settings.refusal_timeout:
            self._goals.end(Result.HELD, message.text)

    def _on_instruction(self, raw: bytes) -> None:
        try:
            text = decode_string(raw)
            if text:
                validate_instruction(text)
        except PolicyError as error:
            self.pilot.malformed += 1
            self.warn(str(error))
            text = ""  # what cannot be understood is not followed, and neither is what was before
        if text and self._goals.goal:
            self.warn("instruction ignored: a goal is running and owns it")
            return
        if self._goals.end(Result.CANCELED, "stopped by an empty or unfit instruction"):
            return
        self._wanted = text
        if not text:
            self.pilot.stop()
            self._publish_status()

    # What is followed.

    def _goal_trouble(self) -> str:
        return self._arm_trouble() if self.active else "policy_node is not active"

    def _release(self) -> int:
        if self._pilot is None:  # the node was shut down meanwhile
            return 0
        chunks = self.pilot.chunks
        self.pilot.stop()
        if self._pending is not None:
            self._answer(self._pending)
        self._publish_status()
        return chunks

    def _follow(self, instruction: str) -> None:
        self._wanted = self.warning = ""
        self.pilot.begin(instruction, self.settings.seed)
        self._answered = None
        self._report.restart()
        self._publish_status()

    def _arm_trouble(self) -> str:
        """Say why the arm takes no instruction now; empty if it does."""
        if self._arm_arrival.silence() > ARM_STATUS_TIMEOUT:
            return f"no arm_status for {self._arm_arrival.silence():.1f} s"
        if self._arm.state != ArmStatus.READY:
            return f"the arm is not READY: {self._arm.text or self._arm.state}"
        return ""

    # What goes out.

    def _answer(self, stamp: float) -> None:
        answer = self.pilot.answer(stamp, self.settings.replan_steps)
        self._pending = stamp if answer is None else None
        if answer is not None:
            self._send(stamp, answer)

    def _send(self, stamp: float, answer: Answer) -> None:
        message = EndEffectorCommand(mode=EndEffectorCommand.HOLD, reason=answer.reason)
        conversions.set_stamp(message.header.stamp, stamp)
        message.header.frame_id = self._frame
        if answer.target is not None and answer.chunk is not None:
            message.mode = EndEffectorCommand.MOVE
            message.header.frame_id = self._frame_of(answer.chunk)
            conversions.pose_to_message(answer.target, message.pose)
            message.gripper = float(answer.target[6])
            message.sequence = answer.chunk.sequence
            conversions.set_stamp(message.observation_stamp, answer.chunk.stamp)
        self._answered = stamp, message
        self._command_out.publish(message)
        self.report_health()

    def _frame_of(self, chunk: Chunk) -> str:
        """The robot's own name where a policy says that it is the base."""
        return self._frame if chunk.frame_id == BASE_FRAME else chunk.frame_id

    def _publish_status(self) -> None:
        if not self._configured:
            return
        message = self._report.status(self.pilot, self.active)
        message.header.stamp = self.get_clock().now().to_msg()
        message.policy_hash = self.policy.policy_hash
        if (chunk := self.pilot.newest) is not None and self._answered is not None:
            message.chunk_age = self._answered[0] - chunk.stamp
        self._status_out.publish(message)

    # The rest.

    def _begin_anew(self) -> None:
        """Time jumped (a reset, a replay): what was before is of no use."""
        self._pending = self._answered = None
        self.pilot.forget_arm()
        if self._goals.goal and self._goals.goal.begun:
            self.pilot.stop()
            self._goals.end(Result.POLICY_FAULT, "the arm's time jumped")
        elif self.pilot.instruction:
            self.pilot.begin(self.pilot.instruction, self.settings.seed)

    def _on_timer(self) -> None:
        if self._goals.goal:
            self._goals.goal.check_silence(PATIENCE)
        if self._pending is not None:
            self._answer(self._pending)


def main() -> None:
    """Run the node."""
    run(PolicyNode)


if __name__ == "__main__":
    main()
