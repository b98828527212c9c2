"""real.launch.py on the CAN bench, with cameras on the topics of usb_cam and realsense2_camera."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vla_policy_node.clock import steady

sys.path.insert(0, str(Path(__file__).parent))
from arm_launch import HOME, ArmLaunch, CanBench

INSTRUCTION = "move the gripper over to the blue cube"
STOP_TIMEOUT = 30.0
LIMIT = 0.3
"""From a kill to the last change of a stiff motor's target [s]."""
PASSED_ON = 1.0
"""The same from a SIGTERM to the launch, which passes it on first: 0.3 to 0.5 s here [s]."""


@pytest.fixture
def launched(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ArmLaunch]:
    with CanBench(start=HOME) as bench:
        launch = ArmLaunch(
            bench,
            tmp_path / "launch.log",
            "real.launch.py",
            model="X5",
            mode=request.param,
            policy="python:scripted_policy.make",
            instruction=INSTRUCTION,
        )
        try:
            yield launch
        finally:
            launch.close()


@pytest.mark.parametrize("launched", ["dry_run"], indirect=True)
def test_dry_run_does_everything_and_sends_nothing(launched):
    launched.until("motion", lambda: launched.moved() > 0.03)
    launched.until("the note", lambda: "nothing is sent" in launched.status.text)
    assert launched.status.backend == "arx5"
    assert len(launched.bench.record.rows()) == 0 and launched.bench.peers() == 0
    os.killpg(launched.process.pid, signal.SIGINT)
    assert launched.process.wait(STOP_TIMEOUT) == 0, launched.log.read_text()[-2000:]


def kill(words):
    return lambda launched: launched.process_of(words).kill()


def kill_launch(launched):
    launched.process.kill()


def press_ctrl_c(launched):
    os.killpg(launched.process.pid, signal.SIGINT)


def press_ctrl_c_after_a_fault(launched):
    """The driver's child is dead; arm_node has to start another that damps."""
    launched.process_of("vla_arm.arx5.child").kill()
    press_ctrl_c(launched)
    launched.until("the launch's end", lambda: launched.process.poll() is not None, STOP_TIMEOUT)


def terminate(launched):
    launched.process.terminate()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("launched", ["full"], indirect=True)
@pytest.mark.parametrize(
    ("end", "limit"),
    [
        (kill("/arm_node"), LIMIT),
        (kill("/policy_node"), LIMIT),
        (kill_launch, LIMIT),
        (press_ctrl_c, LIMIT),
        (press_ctrl_c_after_a_fault, LIMIT),
        (terminate, PASSED_ON),
    ],
    ids=["arm_node", "policy_node", "launch", "ctrl_c", "ctrl_c_after_a_fault", "sigterm"],
)
def test_whatever_ends_the_arm_is_damped_and_let_go(launched, end, limit):
    launched.until("motion", lambda: launched.moved() > 0.03)
    begin = steady()
    end(launched)
    launched.until("the end", lambda: launched.bench.peers() == 0, STOP_TIMEOUT)
    assert set(launched.bench.stiffness().values()) == {0.0}
    assert launched.bench.record.last_change(begin) < limit
