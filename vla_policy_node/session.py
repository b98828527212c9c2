"""Run episodes through a launched simulation and write down what its topics say.

``python -m vla_policy_node.session --out DIR reach:0 place:3`` resets the simulation to task and
seed, gives it the instruction of that scene, waits for the outcome, and leaves for each episode a
folder ``DIR/00``, ``DIR/01``, ... with ``log.json`` (named columns; read by ``vla_distill.report``)
and the camera pictures as ``front_001200.jpg`` (camera, simulated milliseconds). What happens
meanwhile is told on stdout, one JSON object a line.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from vla_msgs.msg import ActionChunk, EndEffectorState

from vla_policy.conversions import pose_from_message, seconds
from vla_policy.image_conversion import image_to_rgb
from vla_policy_node.client import SimulationClient
from vla_policy_node.errors import NodeError
from vla_policy_node.shared_memory import open_context

CAMERAS = ("overview", "front", "wrist")
STAGES = ("vision", "language", "head", "total")
PICTURE_PERIOD = 0.1
"""Time between pictures [s]."""
_EVERY = QoSProfile(depth=1000)
_PICTURES = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)


class Recorder:
    """Keeps what the topics say, in a thread of its own, while an episode runs.

    Args:
        namespace: namespace of the nodes.
    """

    def __init__(self, namespace: str = "") -> None:
        self._context = open_context()
        self._node = Node("session_recorder", namespace=namespace, context=self._context)
        self._lock = threading.Condition()
        self._folder: Path | None = None
        self._start: float | None = None
        self._newest_picture = 0.0
        self._columns: dict[str, list[Any]] = {}
        self._waiting: list[tuple[str, float, NDArray[np.uint8]]] = []
        make = self._node.create_subscription
        make(EndEffectorState, "ee_state", self._take_state, _EVERY)
        make(ActionChunk, "action_chunk", self._take_chunk, _EVERY)
        for name in CAMERAS:
            take = functools.partial(self._take_image, name)
            make(Image, f"camera/{name}/image_raw", take, _PICTURES)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="recorder", daemon=True)
        self._thread.start()

    def begin(self, folder: Path) -> None:
        """Start an episode; its time begins with the next end-effector state."""
        folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._folder, self._start, self._newest_picture = folder, None, 0.0
            self._waiting.clear()
            names = ("time", "measured", "commanded", "chunk_time", "chunk_ms", "chunk_gflops")
            self._columns = {name: [] for name in names}

    def end(self, timeout: float = 5.0) -> dict[str, list[Any]]:
        """Stop recording, once the pictures up to now have come, and return the columns.

        Args:
            timeout: how long to wait for late pictures [s].
        """
        with self._lock:
            self._lock.wait_for(self._is_complete, timeout)
            self._folder = None
            return self._columns

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._context.try_shutdown()
        self._thread.join(timeout=5.0)

    def _is_complete(self) -> bool:
        """Whether the overview has come up to the newest end-effector state."""
        times = self._columns.get("time", [])
        return not times or self._newest_picture >= times[-1] - PICTURE_PERIOD

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def _take_state(self, message: EndEffectorState) -> None:
        stamp = seconds(message.header.stamp)
        with self._lock:
            if self._folder is None:
                return
            if self._start is None:
                self._start = stamp
            self._columns["time"].append(stamp - self._start)
            for name, pose, opening in (
                ("measured", message.measured, message.gripper_measured),
                ("commanded", message.commanded, message.gripper_commanded),
            ):
                self._columns[name].append([*pose_from_message(pose).tolist(), opening])

    def _take_chunk(self, message: ActionChunk) -> None:
        stamp = seconds(message.header.stamp)
        with self._lock:
            if self._folder is None or self._start is None:
                return
            report = message.report
            times = dict(zip(report.stages, report.milliseconds, strict=False))
            self._columns["chunk_time"].append(stamp - self._start)
            self._columns["chunk_ms"].append([times.get(stage, 0.0) for stage in STAGES])
            self._columns["chunk_gflops"].append(report.gflops)

    def _take_image(self, name: str, message: Image) -> None:
        with self._lock:
            if self._folder is None:
                return
            self._waiting.append((name, seconds(message.header.stamp), image_to_rgb(message)))
            # The first pictures may come before the first state, which says when the time began.
            if self._start is not None:
                self._write_pictures(self._folder, self._start)
                self._lock.notify_all()

    def _write_pictures(self, folder: Path, start: float) -> None:
        for name, stamp, image in self._waiting:
            milliseconds = round((stamp - start) * 1000)
            if milliseconds >= 0:
                path = folder / f"{name}_{milliseconds:06d}.jpg"
                pixels = np.ascontiguousarray(image[:, :, ::-1])
                cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
                if name == CAMERAS[0]:
                    self._newest_picture = stamp - start
        self._waiting.clear()


def tell(event: str, **values: Any) -> None:
    """Say on stdout what happens."""
    print(json.dumps({"event": event, **values}), flush=True)


def run_episode(
    client: SimulationClient, recorder: Recorder, index: int, task: str, seed: int, out: Path
) -> None:
    """Reset, instruct, wait, and write the episode's log."""
    scene = client.reset(task, seed)
    tell(
        "begin", index=index, task=task, seed=seed, instruction=scene.instruction,
        time_limit=scene.time_limit,
    )  # fmt: skip
    folder = out / f"{index:02d}"
    recorder.begin(folder)
    begin = time.monotonic()
    outcome = client.execute(
        scene.instruction,
        scene.time_limit,
        seed=seed,
        on_feedback=lambda feedback: tell(
            "feedback", elapsed=feedback.elapsed, phase=feedback.phase, progress=feedback.progress
        ),
    )
    columns = recorder.end()
    ending = {
        "task": task,
        "seed": seed,
        "instruction": scene.instruction,
        "success": outcome.success,
        "reason": outcome.message,
        "seconds": outcome.seconds,
        "wall_seconds": time.monotonic() - begin,
    }
    (folder / "log.json").write_text(json.dumps({**ending, **columns}), encoding="utf-8")
    tell("end", index=index, **ending)


def parse_episode(text: str) -> tuple[str, int]:
    """Task and seed of ``TASK:SEED``."""
    task, _, seed = text.partition(":")
    if not task or not seed.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: expected TASK:SEED, e.g. pick:3")
    return task, int(seed)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the session; the exit code is 0 when every episode could be run, whatever its outcome."""
    parser = argparse.ArgumentParser(description="Run episodes through a launched simulation.")
    parser.add_argument("episodes", nargs="+", type=parse_episode, metavar="TASK:SEED")
    parser.add_argument("--out", type=Path, required=True, help="folder for the logs")
    parser.add_argument("--namespace", default="", help="namespace of the nodes")
    parser.add_argument("--ready-timeout", type=float, default=90.0, help="[s]")
    arguments = parser.parse_args(argv)
    recorder = Recorder(arguments.namespace)
    try:
        with SimulationClient(arguments.namespace) as client:
            client.wait_until_ready(arguments.ready_timeout)
            tell("ready")
            for index, (task, seed) in enumerate(arguments.episodes):
                run_episode(client, recorder, index, task, seed, arguments.out)
    except NodeError as error:
        tell("error", message=str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        recorder.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
