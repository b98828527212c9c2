"""Where policies come from: a checkpoint, or any Python function that makes one."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

from vla_policy.chunking import make_chunking
from vla_policy.contract import STATE_SIZE, Observation, Policy
from vla_policy.robot import ARM, see_robot
from vla_policy_node.errors import NodeError

PLUGIN = "python:"


def find_checkpoint(name: str) -> Path:
    """Return the folder of a checkpoint.

    Args:
        name: a folder, or the name of one under the package's ``share/checkpoints``.

    Raises:
        NodeError: there is neither; the message lists the installed ones.
    """
    if (folder := Path(name)).is_dir():
        return folder
    shelves = [shelf for shelf in _shelves() if shelf.is_dir()]
    for shelf in shelves:
        if (folder := shelf / name).is_dir():
            return folder
    known = sorted({path.name for shelf in shelves for path in shelf.iterdir() if path.is_dir()})
    raise NodeError("policy", got=repr(name), expected=f"a folder, or one of {known}")


def make_policy(source: str, device: str) -> Policy:
    """Load or make a policy.

    Args:
        source: a checkpoint (see :func:`find_checkpoint`), or ``python:module.function`` with a
            function that takes the device and returns a policy.
        device: where to compute, e.g. ``cpu`` or ``cuda:0``.

    Raises:
        NodeError: the checkpoint or the function is not there, or makes no policy.
        PolicyError: the checkpoint is broken, or another robot's.
    """
    if not source.startswith(PLUGIN):
        folder = find_checkpoint(source)
        from vla_policy.checkpoint import load_policy  # torch takes seconds to import

        policy = load_policy(folder, device)
        see_robot(policy, ARM)
        return policy
    module, _, function = source.removeprefix(PLUGIN).rpartition(".")
    try:
        policy = getattr(importlib.import_module(module), function)(device)
    except (ImportError, AttributeError, ValueError) as error:
        raise NodeError(
            "policy", got=f"{source!r}: {error}", expected=f"{PLUGIN}module.function"
        ) from error
    if not isinstance(policy, Policy):
        raise NodeError("policy", got=type(policy).__name__, expected="a contract.Policy")
    return policy


def call_policy(host: str, port: int, timeout: float) -> Policy:
    """Call a policy that another machine serves (``vla serve``).

    Args:
        host: its name or address.
        port: of the server.
        timeout: longest wait for an answer [s].

    Raises:
        PolicyError: it does not answer, or refuses us.
    """
    from vla_policy.remote.client import RemotePolicy  # websockets, which others do without

    return RemotePolicy(f"ws://{host}:{port}", timeout=timeout)


def warm_up(policy: Policy, runs: int, chunking: str = "switch") -> None:
    """Run a policy on grey images, so that its first real chunk is as fast as the others.

    Args:
        policy: the policy.
        runs: inferences.
        chunking: how its chunks will be joined; real-time chunking warms its gradients too.
    """
    grey = np.full((policy.image_size, policy.image_size, 3), 128, np.uint8)
    state = np.array([0.3, 0.0, 0.25, 0.0, np.pi / 2, 0.0, 0.08, 0.08], np.float32)
    assert state.shape == (STATE_SIZE,)
    observation = Observation(dict.fromkeys(policy.cameras, grey), state, "warm up", 0.0)
    memory, joining = policy.start(0), make_chunking(chunking, policy)
    for _ in range(runs):
        joining.ask(memory, observation.stamp)
        (chunk,) = policy.infer([observation], [memory])
        joining.receive(chunk, observation.stamp)


def compile_policy(policy: Policy, run: Callable[[], object]) -> str:
    """Compile a policy's network (:mod:`vla_policy.model.compiled`), or leave it plain.

    Args:
        policy: the policy.
        run: makes chunks, which compiles; what it raises means that compiling failed.

    Returns:
        Why the policy stays plain; empty if it was compiled.
    """
    from vla_policy.model.compiled import compile_pieces  # torch takes seconds to import
    from vla_policy.model.network import VlaNetwork

    network = getattr(policy, "network", None)
    if not isinstance(network, VlaNetwork):
        return f"{type(policy).__name__} has no network of ours"
    undo = compile_pieces(network)
    try:
        run()
    except Exception as error:  # no compiler, or whatever else torch's compiler raises
        undo()
        reason = str(error).strip().splitlines() or [""]
        return f"{type(error).__name__}: {reason[0]}"
    return ""


def _shelves() -> list[Path]:
    """The folders of the installed checkpoints and of those in the source tree."""
    shelves = [Path(__file__).resolve().parent.parent / "checkpoints"]
    with suppress(PackageNotFoundError):
        shelves.insert(0, Path(get_package_share_directory("lean_vla")) / "checkpoints")
    return shelves
