"""LeRobot v3.0 on disk: where the files lie and what ``meta/info.json`` says about the features.

Follows the dataset format of Hugging Face LeRobot, codebase version v3.0: few large files, each
holding many episodes; ``meta/episodes`` says where in them an episode lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vla_policy.robot import ARM

CODEBASE_VERSION = "v3.0"
ROBOT_TYPE = ARM
GYMNASIUM_PREFIX = "gymnasium/"
"""Begins the robot type of data that were collected in a Gymnasium environment."""

INFO_PATH = "meta/info.json"
STATISTICS_PATH = "meta/stats.json"
TASKS_PATH = "meta/tasks.parquet"
COLLECTION_PATH = "meta/collection.json"
SUMMARY_PATH = "summary.json"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"

CHUNKS_SIZE = 1000
"""Files in a chunk folder, at most."""
DATA_FILE_MEGABYTES = 100
VIDEO_FILE_MEGABYTES = 200

STATE = "observation.state"
ACTION = "action"
KEYPOINTS = "privileged.keypoints"
DISTURBANCE = "privileged.disturbance"
"""What was executed: 0 the action, 1 the action and drift, 2 an injected error."""
ERROR_LEVEL = 2
IMAGE_PREFIX = "observation.images."

POSE_NAMES = ("x", "y", "z", "rx", "ry", "rz")
STATE_NAMES = (*POSE_NAMES, "gripper", "gripper_command")
ACTION_NAMES = (*POSE_NAMES, "gripper")
KEYPOINT_NAMES = ("target_x", "target_y", "target_z", "goal_x", "goal_y", "goal_z")

VECTORS: dict[str, tuple[str, ...]] = {
    STATE: STATE_NAMES,
    ACTION: ACTION_NAMES,
    KEYPOINTS: KEYPOINT_NAMES,
}
"""The float32 columns of a frame and the names of their numbers, in order of ``info.json``."""

CHUNK = "distilled.chunk"
SAMPLE = "distilled.sample"
SAMPLE_NAMES = ("weight", "source_frame", "foretold")
HORIZON = 16
"""Targets of a chunk that a dataset of chosen frames keeps with each."""
DISTILLED: dict[str, tuple[str, ...]] = {
    CHUNK: tuple(f"{name}_{step}" for step in range(HORIZON) for name in ACTION_NAMES),
    SAMPLE: SAMPLE_NAMES,
}
"""Further float32 columns of a dataset of chosen frames: what followed each in its source."""


def video_key(camera: str) -> str:
    """Feature key of a camera, e.g. ``observation.images.front``."""
    return IMAGE_PREFIX + camera


def features(
    cameras: Sequence[str],
    image_size: tuple[int, int],
    fps: int,
    video: dict[str, Any],
    distilled: bool = False,
) -> dict[str, dict[str, Any]]:
    """The ``features`` of ``info.json``.

    Args:
        cameras: names of the cameras, in the order of the image arrays.
        image_size: height and width [px].
        fps: frames per second.
        video: codec, pixel format and quantisation, as ``video.codec`` and so on.
        distilled: whether frames were chosen, so that each keeps what followed it.
    """
    height, width = image_size
    result: dict[str, dict[str, Any]] = {}
    for camera in cameras:
        result[video_key(camera)] = {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": height,
                "video.width": width,
                **video,
                "video.is_depth_map": False,
                "video.fps": fps,
                "video.channels": 3,
                "has_audio": False,
            },
        }
    for key, names in (VECTORS | (DISTILLED if distilled else {})).items():
        result[key] = {"dtype": "float32", "shape": [len(names)], "names": list(names)}
    result[DISTURBANCE] = {"dtype": "int64", "shape": [1], "names": None}
    result["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    for key in ("frame_index", "episode_index", "index", "task_index"):
        result[key] = {"dtype": "int64", "shape": [1], "names": None}
    return result


def info(
    features: dict[str, dict[str, Any]],
    fps: int,
    episodes: int,
    frames: int,
    tasks: int,
    robot: str = ROBOT_TYPE,
) -> dict[str, Any]:
    """The content of ``meta/info.json``."""
    return {
        "codebase_version": CODEBASE_VERSION,
        "robot_type": robot,
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "chunks_size": CHUNKS_SIZE,
        "data_files_size_in_mb": DATA_FILE_MEGABYTES,
        "video_files_size_in_mb": VIDEO_FILE_MEGABYTES,
        "fps": fps,
        "splits": {"train": f"0:{episodes}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH,
        "features": features,
    }


def file_position(number: int) -> tuple[int, int]:
    """Chunk and file index of the n-th file of a kind."""
    return divmod(number, CHUNKS_SIZE)
