"""The process behind the bus: motors, other programs' frames, the record, and the faults.

    python -m can_bench.server FOLDER INTERFACE URDF KINDS START

It listens on FOLDER/INTERFACE for programs on the bus and on FOLDER/control for the test.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from can_bench.frames import FRAME
from can_bench.motors import TIMESTEP, MotorBank

LARGEST_STEP = 0.05
"""A server that was not scheduled catches up by so much at once and forgets the rest [s]."""
ROW_TIME = np.dtype("<f8")


class Server:
    """One thread does all, so that frames, physics and faults never race."""

    def __init__(self, folder: Path, interface: str, bank: MotorBank) -> None:
        self._bank = bank
        self._selector = selectors.DefaultSelector()
        self._bus: list[socket.socket] = []
        self._record = os.open(folder / "frames", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._plugged = True
        self._time = time.monotonic()
        self._interface = folder / interface
        self._listen(self._interface, self._join)
        self._listen(folder / "control", self._meet)

    def run(self) -> None:
        """Serve until the process ends or the test says so."""
        while True:
            for key, _ in self._selector.select(TIMESTEP * 2):
                key.data(key.fileobj)
            self._advance()

    def _advance(self) -> None:
        now = time.monotonic()
        if now - self._time < TIMESTEP:
            return
        behind = min(now - self._time, LARGEST_STEP)
        steps = int(behind / TIMESTEP)
        self._bank.advance(steps * TIMESTEP)
        self._time = now - (behind - steps * TIMESTEP)

    def _listen(self, path: Path, accept: Any) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(path))
        listener.listen(8)
        self._selector.register(listener, selectors.EVENT_READ, accept)

    def _remove(self) -> None:
        """Take the interface away from under the programs on it."""
        self._interface.unlink()
        for key in list(self._selector.get_map().values()):
            if key.data == self._join:
                self._selector.unregister(key.fileobj)
                key.fileobj.close()
        for peer in list(self._bus):
            self._drop(peer)

    def _join(self, listener: socket.socket) -> None:
        peer, _ = listener.accept()
        peer.setblocking(False)
        self._bus.append(peer)
        self._selector.register(peer, selectors.EVENT_READ, self._hear)

    def _hear(self, peer: socket.socket) -> None:
        try:
            frame = peer.recv(64)
        except OSError:
            frame = b""
        if not frame:
            self._drop(peer)
        elif len(frame) == FRAME.size and self._plugged:
            os.write(self._record, ROW_TIME.type(time.monotonic()).tobytes() + frame)
            for other in self._bus:
                if other is not peer:
                    self._say(other, frame)
            self._advance()
            if (answer := self._bank.answer(frame)) is not None:
                for each in list(self._bus):
                    self._say(each, answer)

    def _say(self, peer: socket.socket, frame: bytes) -> None:
        try:
            peer.send(frame)
        except BlockingIOError:
            pass  # a program that does not read loses frames, as on a real bus
        except OSError:
            self._drop(peer)

    def _drop(self, peer: socket.socket) -> None:
        if peer in self._bus:
            self._bus.remove(peer)
            self._selector.unregister(peer)
            peer.close()

    def _meet(self, listener: socket.socket) -> None:
        peer, _ = listener.accept()
        self._selector.register(peer, selectors.EVENT_READ, self._serve)

    def _serve(self, peer: socket.socket) -> None:
        request = peer.recv(65536)
        if not request:
            self._selector.unregister(peer)
            peer.close()
            return
        peer.send(json.dumps(self._do(**json.loads(request))).encode())

    def _do(
        self,
        silent: list[int] | None = None,
        torque: dict[str, float] | None = None,
        inject: list[Any] | None = None,
        plugged: bool | None = None,
        present: bool | None = None,
        guide: list[Any] | None = None,
        grasp: float | None = None,
    ) -> dict[str, Any]:
        """Change what is given; answer how things are."""
        faults = self._bank.faults
        if silent is not None:
            faults.silent = set(silent)
        if torque is not None:
            faults.torque = {int(id): value for id, value in torque.items()}
        if plugged is not None:
            self._plugged = plugged
        if present is not None and present != self._interface.exists():
            if present:
                self._listen(self._interface, self._join)
            else:
                self._remove()
        if guide is not None:
            goal, speed = guide or (None, 0.0)
            self._bank.guide(None if goal is None else np.array(goal), speed)
        if grasp is not None:
            self._bank.grasp(grasp)
        if inject is not None:
            frame = FRAME.pack(inject[0], 8, bytes.fromhex(inject[1]))
            for peer in list(self._bus):
                self._say(peer, frame)
        gains = {motor.id: motor.command.kp for motor in self._bank.motors}
        return {
            "joints": self._bank.claims(),
            "speeds": self._bank.data.qvel[:6].tolist(),
            "kp": gains,
            "peers": len(self._bus),
            "time": time.monotonic(),
        }


def main() -> None:
    """Run the server."""
    folder, interface, urdf, kinds, start = sys.argv[1:]
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)  # motors do not wait for a busy machine
    bank = MotorBank(urdf, tuple(kinds.split(",")), np.array(json.loads(start)))
    Server(Path(folder), interface, bank).run()


if __name__ == "__main__":
    main()
