"""Start a bus with an arm on it, break it, and look at what was said."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from can_bench.errors import BenchError
from can_bench.motors import MotorBank
from can_bench.record import Record

HERE = Path(__file__).resolve().parent
KINDS = {"X5": ("EC",) * 3 + ("DM",) * 4}
"""The motors of each model that the bench knows; the L5's other motors (DM_J4340) it does not."""
REST = (0.0, 1.2, 1.2, -0.5, 0.0, 0.0, 0.04)
"""Where the arm is at the start unless told [rad], and the opening [m]."""
START_TIMEOUT = 20.0


class CanBench:
    """A bus ``interface`` with the motors of an arm; a context manager.

    A program joins it when it is started with :attr:`environment`. What it sends is in
    :attr:`record`.

    Args:
        model: of the arm.
        interface: name of the bus, as in ``can0``.
        start: joint angles [rad] and opening [m] at the start. Shape (7,).

    Raises:
        BenchError: the model is unknown, ``arx5-interface`` or a C compiler is missing.
    """

    def __init__(
        self, model: str = "X5", interface: str = "can0", start: Sequence[float] = REST
    ) -> None:
        if model not in KINDS:
            raise BenchError("model", got=repr(model), expected=f"one of {sorted(KINDS)}")
        package = importlib.util.find_spec("arx5_interface")
        if package is None or package.origin is None:
            raise BenchError("arx5_interface", got="not installed", expected="pip install it")
        self.interface = interface
        self.folder = Path(tempfile.mkdtemp(prefix="can_bench_"))
        self._library = _compile(self.folder)
        urdf = Path(package.origin).parent / "models" / f"{model}.urdf"
        kinds = KINDS[model]
        self.record = Record(self.folder / "frames", dict(zip(MotorBank.IDS, kinds, strict=True)))
        arguments = [str(self.folder), interface, str(urdf), ",".join(kinds)]
        self._server = subprocess.Popen(
            [sys.executable, "-m", "can_bench.server", *arguments, json.dumps(list(start))],
            env={**os.environ, "PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"},
        )
        self._control = self._connect()

    def __enter__(self) -> CanBench:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def environment(self) -> dict[str, str]:
        """What a program's environment needs so that it finds the bus."""
        return {"LD_PRELOAD": str(self._library), "CAN_BENCH_DIR": str(self.folder)}

    # What breaks.

    def silence(self, *motors: int) -> None:
        """Have these motors, or with none named all, neither answer nor obey."""
        self._ask(silent=list(motors or MotorBank.IDS))

    def claim_torque(self, motor: int, torque: float) -> None:
        """Have a motor report a torque [Nm], whatever it feels."""
        self._ask(torque={str(motor): torque})

    def inject(self, id: int, data: bytes = bytes(8)) -> None:
        """Have somebody else on the bus send a frame."""
        self._ask(inject=[id, data.hex()])

    def unplug(self) -> None:
        """Lose all frames both ways."""
        self._ask(plugged=False)

    def remove(self) -> None:
        """Pull the adapter out: sockets break, and there is no interface until :meth:`repair`."""
        self._ask(present=False)

    def repair(self) -> None:
        """Undo all faults; sockets that broke stay broken."""
        self._ask(silent=[], torque={}, plugged=True, present=True)

    # What people do.

    def guide(self, goal: Sequence[float], speed: float = 0.5) -> None:
        """Have a hand take the arm along to a goal, and hold it there until :meth:`let_go`.

        Args:
            goal: joint angles [rad] and opening [m]. Shape (7,).
            speed: of every joint and of the gripper's motor [rad/s].
        """
        self._ask(guide=[list(goal), speed])

    def let_go(self) -> None:
        """Have the hand let go of the arm."""
        self._ask(guide=[])

    def grasp(self, width: float) -> None:
        """Lay a hard object of a width [m] between the open fingers; 0 takes it out."""
        self._ask(grasp=width)

    # How things are.

    def joints(self) -> NDArray[np.float64]:
        """True joint angles [rad] and opening [m]. Shape (7,)."""
        return np.array(self._ask()["joints"])

    def stiffness(self) -> dict[int, float]:
        """Position gain that each motor was told last, by id [Nm/rad]."""
        return {int(id): kp for id, kp in self._ask()["kp"].items()}

    def peers(self) -> int:
        """How many programs are on the bus."""
        return self._ask()["peers"]

    def close(self) -> None:
        """End the bus; programs on it lose their sockets."""
        self._control.close()
        self._server.kill()
        self._server.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _connect(self) -> socket.socket:
        control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.settimeout(START_TIMEOUT)
        end = time.monotonic() + START_TIMEOUT
        while True:
            try:
                control.connect(str(self.folder / "control"))
                return control
            except OSError:
                if self._server.poll() is not None or time.monotonic() > end:
                    raise BenchError(
                        "bench server", got=f"exit {self._server.poll()}", expected="running"
                    ) from None
                time.sleep(0.01)

    def _ask(self, **request: Any) -> dict[str, Any]:
        self._control.send(json.dumps(request).encode())
        return json.loads(self._control.recv(65536))


def _compile(folder: Path) -> Path:
    """Build the preloaded library, a few tenths of a second."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise BenchError("C compiler", got="none", expected="cc, gcc or clang (apt install gcc)")
    library = folder / "can_socket.so"
    source = HERE / "can_socket.c"
    command = [
        compiler,
        "-shared",
        "-fPIC",
        "-O1",
        "-Wall",
        "-o",
        str(library),
        str(source),
        "-ldl",
    ]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode:
        raise BenchError("can_socket.c", got=built.stderr, expected="to compile")
    return library
