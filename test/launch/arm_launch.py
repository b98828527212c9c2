"""A launch file of the real arm on the CAN bench, with the user's cameras beside it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from vla_msgs.msg import ArmStatus, EndEffectorState

from vla_arm.joint_table import X5
from vla_arm.kinematics import ArmKinematics
from vla_policy.conversions import pose_from_message
from vla_policy.image_conversion import rgb_to_image
from vla_policy_node.clock import steady
from vla_policy_node.qos import COMMAND, LATCHED

sys.path.insert(0, str(Path(__file__).parents[1]))
from can_bench import CanBench

ROOT = Path(__file__).parents[2]
HOME = (0.0, 1.6964, 1.65892, -1.53331, 0.0, 0.0, 0.04)
"""About where the arm is when it is at home [rad], and the opening [m]."""
CAMERAS = {"front_image": "/usb_cam/image_raw", "wrist_image": "/camera/camera/color/image_raw"}
"""As usb_cam and realsense2_camera name their topics unless told otherwise."""
TIMEOUT = 120.0
END_TIMEOUT = 20.0
"""For what was started to end after Ctrl-C, before it is killed [s]."""


class ArmLaunch:
    """The launch in a process group of its own, the bench behind it, and the user's cameras.

    Args:
        bench: the arm.
        log: takes what the launch prints.
        file: the launch file.
        size: height and width of the cameras' pictures [px].
        arguments: of the launch file.
    """

    def __init__(
        self,
        bench: CanBench,
        log: Path,
        file: str,
        size: tuple[int, int] = (480, 640),
        **arguments: str,
    ) -> None:
        self.bench, self.log = bench, log
        environment = {**os.environ, **bench.environment, "LEAN_VLA_TEST_SCENES": "reach:0"}
        path = [str(ROOT / "test" / "doubles"), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path)
        words = [f"{name}:={value}" for name, value in {**CAMERAS, **arguments}.items()]
        words.insert(0, str(ROOT / "launch" / file))
        command = [sys.executable, "-m", "vla_distill.cli.main", "launch", *words]
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command, env=environment, stdout=out, stderr=out, start_new_session=True, cwd=ROOT
            )
        self.context = Context()
        self.context.init()
        self.node = Node("user", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.poses: list[np.ndarray] = []
        self.status = ArmStatus()
        listen = self.node.create_subscription
        listen(EndEffectorState, "ee_state", self._take_state, COMMAND)
        listen(ArmStatus, "arm_status", lambda m: setattr(self, "status", m), LATCHED)
        self._cameras = [
            self.node.create_publisher(Image, topic, qos_profile_sensor_data)
            for topic in CAMERAS.values()
        ]
        self._image = Image()
        rgb_to_image(np.full((*size, 3), 90, np.uint8), self._image)
        self.node.create_timer(0.05, self._film)

    def _film(self) -> None:
        self._image.header.stamp = self.node.get_clock().now().to_msg()
        for camera in self._cameras:
            camera.publish(self._image)

    def _take_state(self, message: EndEffectorState) -> None:
        self.poses.append(pose_from_message(message.measured))

    def until(self, what: str, done: Callable[[], bool], timeout: float = TIMEOUT) -> None:
        end = steady() + timeout
        while not done():
            tail = self.log.read_text(errors="replace")[-2000:]
            assert steady() < end, f"{what}: not within {timeout} s ({self.status.text})\n{tail}"
            self.executor.spin_once(timeout_sec=0.1)

    def moved(self) -> float:
        """How far the tool is from where it began [m]; it may have moved before it was seen."""
        if not self.poses:
            return 0.0
        begin = ArmKinematics(X5).forward(np.array(HOME[:6]))[:3]
        return float(np.linalg.norm(self.poses[-1][:3] - begin))

    def call(self, name: str) -> Trigger.Response:
        """Call one of the services without arguments."""
        client = self.node.create_client(Trigger, name)
        self.until(name, client.service_is_ready)
        future = client.call_async(Trigger.Request())
        self.until(f"answer of {name}", future.done)
        self.node.destroy_client(client)
        answer = future.result()
        assert answer is not None
        return answer

    def process_of(self, words: str) -> psutil.Process:
        """The descendant whose command line ends in some words."""
        everyone = psutil.Process(self.process.pid).children(recursive=True)
        (found,) = (p for p in everyone if words in " ".join(p.cmdline()))
        return found

    def close(self) -> None:
        # First of all, and the others by themselves: who is killed amid Fast DDS's shared memory
        # can leave there what hangs those who are still in the graph.
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()
        end = steady() + END_TIMEOUT
        self._signal(signal.SIGINT)
        while self._group() and steady() < end:
            self.process.poll()  # a zombie is in its group until it is waited for
            time.sleep(0.05)
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: int) -> None:
        for process in self._group():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def _group(self) -> list[int]:
        return [p.pid for p in psutil.process_iter() if _group_of(p.pid) == self.process.pid]


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1
