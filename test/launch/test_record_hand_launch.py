"""Demonstrations of an arm that is guided by hand: teach mode on the CAN bench, bag, dataset."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
from vla_msgs.msg import ArmStatus

sys.path.insert(0, str(Path(__file__).parent))
from arm_launch import HOME, ArmLaunch, CanBench

from vla_arm.joint_table import X5
from vla_arm.kinematics import ArmKinematics
from vla_distill.bags.content import read_bag
from vla_distill.bags.episode import split
from vla_distill.cli.main import main
from vla_distill.dataset.check import check
from vla_distill.dataset.reader import Dataset

WAY = ((0.5, 1.9, 1.6, -1.2, 0.3, -0.2, 0.03), (0.1, 1.6, 1.4, -1.3, -0.2, 0.3, 0.05))
"""Where the hand takes the arm, place after place [rad], and the opening [m]."""
SPEED = 0.7
"""Of the hand [rad/s]; the gripper's motor turns as fast in 12 mm/s."""
INSTRUCTION = "fold the cloth"
STOP_TIMEOUT = 30.0


def test_what_a_hand_showed_is_what_the_dataset_teaches(tmp_path):
    with CanBench(start=HOME) as bench:
        launch = ArmLaunch(
            bench,
            tmp_path / "launch.log",
            "record.launch.py",
            size=(96, 128),
            mover="hand",
            model="X5",
            task=INSTRUCTION,
            bag=str(tmp_path / "bag.mcap"),
        )
        try:
            guide_an_episode(launch)
            os.killpg(launch.process.pid, signal.SIGINT)
            assert launch.process.wait(STOP_TIMEOUT) == 0, launch.log.read_text()[-2000:]
        finally:
            launch.close()
        assert all(bench.record.targets(motor).kp.max() == 0.0 for motor in bench.record.kinds)
    bag = read_bag(tmp_path / "bag.mcap")
    (episode,) = split(bag)
    assert (episode.instruction, episode.success) == (INSTRUCTION, True)
    assert not bag.commands, "nobody commanded"
    words = ["bag", "to-dataset", str(bag.storage.path), "--out", str(tmp_path / "data")]
    assert main([*words, "--only-success", "--image-size", "96"]) == 0
    assert check(tmp_path / "data", progress=False)[0] == []
    data = Dataset(tmp_path / "data")
    (frames,) = (data.episode(index) for index in range(len(data.episodes)))
    assert frames.instruction == INSTRUCTION
    # What is asked for in a frame is where the hand had the arm a step later.
    now, later = frames.state[:-1, :3], frames.state[1:, :3]
    moving = np.linalg.norm(later - now, axis=1) > 0.005
    asked = frames.action[:-1, :3][moving]
    assert moving.sum() > 10
    to_later = np.linalg.norm(asked - later[moving], axis=1)
    to_now = np.linalg.norm(asked - now[moving], axis=1)
    assert np.median(to_later) < 0.2 * np.median(to_now)
    forward = ArmKinematics(X5).forward
    for place in WAY:
        goal = forward(place[:6])
        near = np.linalg.norm(frames.action[:, :3] - goal[:3], axis=1) < 0.01
        assert (near & (np.abs(frames.action[:, 6] - place[6]) < 0.002)).any()
    assert np.linalg.norm(np.ptp(frames.action[:, :3], axis=0)) > 0.1


def guide_an_episode(launch: ArmLaunch) -> None:
    """As docs/bags.md says: start, guide, judge, end."""
    launch.until("teach mode", lambda: "guided by hand" in launch.status.text)
    assert launch.status.state == ArmStatus.HOLD
    launch.until("a start", lambda: launch.call("start_episode").success)
    for place in WAY:
        launch.bench.guide(place, SPEED)
        launch.until("the hand's way", lambda place=place: is_at(launch.bench, place))
    assert launch.call("mark_success").success
    assert launch.call("end_episode").success
    launch.bench.let_go()


def is_at(bench: CanBench, place: tuple[float, ...]) -> bool:
    """Within half a degree and a millimetre."""
    off = np.abs(bench.joints() - place)
    return bool(off[:6].max() < 0.01 and off[6] < 0.001)
