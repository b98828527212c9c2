"""The ROS graph as child processes: started, listened to, and ended in order, all of it.

This room imports no ROS: the nodes run under ``vla launch``, their client is an executable of
``vla_policy_node`` that tells on stdout what happens, one JSON object a line.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

STOP_SECONDS = 20.0
"""How long a child may take to end before it is killed [s]."""
LOOK_SECONDS = 0.5
"""How often to see whether the nodes are still there while their client says nothing [s]."""


class GraphError(RuntimeError):
    """The ROS graph did not come up or did not carry an episode through.

    Args:
        what: what went wrong.
        log: the launch's output; its end is shown.
    """

    def __init__(self, what: str, log: Path) -> None:
        lines = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
        super().__init__("\n".join([f"ROS graph: {what}; the end of {log} is", *lines]))


def drive(
    launch: Sequence[str],
    session: Sequence[str],
    log: Path,
    tell: Callable[[Mapping[str, Any]], None],
) -> None:
    """Start the nodes, run the session to its end, stop both.

    Args:
        launch: the command that starts the nodes.
        session: the command of their client.
        log: file for what both write on stderr, and the nodes on stdout.
        tell: called with each event of the session, and with ``launch`` before them.

    Raises:
        GraphError: the nodes or the session ended early or told of an error.
    """
    environment = graph_environment()
    tell({"event": "launch"})
    with (
        log.open("wb") as log_file,
        child(launch, environment, log_file, log_file) as nodes,
        child(session, environment, log_file, subprocess.PIPE) as client,
    ):
        assert client.stdout is not None
        while True:
            # Not to wait for the session's time-out when the nodes are gone.
            if not select.select([client.stdout], [], [], LOOK_SECONDS)[0]:
                if nodes.poll() is not None:
                    raise GraphError(f"the nodes ended with exit code {nodes.returncode}", log)
                continue
            line = client.stdout.readline()
            if not line:
                break
            if not line.startswith(b"{"):
                continue
            event = json.loads(line)
            if event["event"] == "error":
                raise GraphError(event["message"], log)
            tell(event)
        if client.wait() != 0:
            raise GraphError(f"the session ended with exit code {client.returncode}", log)


def launch_command(arguments: Sequence[str]) -> list[str]:
    """The command that starts sim.launch.py with ``name:=value`` arguments."""
    return [sys.executable, "-m", "vla_distill.cli.main", "launch", "sim.launch.py", *arguments]


@contextmanager
def launched(arguments: Sequence[str]) -> Iterator[None]:
    """The nodes of sim.launch.py, silent, until the context ends; this process joins their domain.

    Args:
        arguments: of the launch file, each ``name:=value``.
    """
    environment = graph_environment()
    os.environ.update(environment)
    with (
        Path(os.devnull).open("wb") as nothing,
        child(launch_command(arguments), environment, nothing, nothing),
    ):
        yield


def graph_environment() -> dict[str, str]:
    """The environment of the children: a domain of their own, on this machine only."""
    environment = dict(os.environ)
    # Keeps them apart from other robots on this machine or network, unless told otherwise.
    environment.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    environment.setdefault("MUJOCO_GL", "egl")
    return environment


@contextmanager
def child(
    words: Sequence[str], environment: Mapping[str, str], stderr: IO[bytes], stdout: IO[bytes] | int
) -> Iterator[subprocess.Popen[bytes]]:
    """A child in a session of its own, so that Ctrl-C reaches us alone and we end it in order."""
    process = subprocess.Popen(
        words,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        bufsize=0,  # so that select sees every line
    )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGINT, as Ctrl-C would; what does not end in time is killed, with all that it started."""
    try:
        if process.poll() is None:
            # To the whole group, as a terminal does: launch relies on it.
            os.killpg(process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
    finally:
        # Also when a second Ctrl-C cuts the waiting short.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
