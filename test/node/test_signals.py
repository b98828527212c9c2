"""Signals that ask a real process with a node in it to end, at the worst moments."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

NODE = """
import os, signal, time
from vla_policy_node.lifecycle import run
from vla_policy_node.recorder_node import RecorderNode

{first}

def say(word):
    print(word, flush=True)

class Node(RecorderNode):
    def __init__(self):
        super().__init__()
        self.create_timer(0.01, self.work, clock=self.steady_clock)
        self.active = True

    def deactivate(self):
        self.executor.create_task(lambda: say("rested"))  # as the result of a goal is sent

    def work(self):
        {work}

    def leave(self):
        say("leaves")
        os.kill(os.getpid(), signal.SIGTERM)
        super().leave()
        say("left")

run(Node, [])
"""
AMID = """
        os.kill(os.getpid(), signal.SIGNAL)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.005)
        say("done")
"""
HANGS = """
        say("hangs")
        time.sleep(60.0)
        say("done")
"""


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    made: list[subprocess.Popen[str]] = []

    def run(work: str, first: str = "") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", NODE.format(work=work.strip(), first=first)]
        made.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return made[-1]

    yield run
    for process in made:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_a_node_ends_after_the_callback_in_which_a_signal_came(start, name):
    process = start(AMID.replace("SIGNAL", name))
    said = dict.fromkeys(process.communicate(timeout=40.0)[0].split())
    assert list(said) == ["done", "rested", "leaves", "left"]
    assert process.returncode == 0


def test_a_closed_terminal_does_not_end_what_runs_under_nohup(start):
    ignore = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    process = start(AMID.replace("SIGNAL", "SIGHUP").replace("SIGTERM", "SIGHUP"), ignore)
    assert [process.stdout.readline() for _ in range(3)] == ["done\n"] * 3
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=40.0)[0].split()[-2:] == ["leaves", "left"]


def test_a_later_signal_breaks_off_a_callback_that_does_not_return(start):
    process = start(HANGS)
    assert process.stdout.readline() == "hangs\n"
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2.5)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20.0)[0].split() == ["leaves", "left"]
    assert process.returncode == 0
