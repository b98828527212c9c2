"""The process that runs the vendor's library:  python -m vla_arm.arx5.child SOCKET CONFIG

It ends when the driver's end of the socket closes, whatever closed it, and on SIGTERM; both times
the arm is damped first. A hang in which the library holds Python's lock ends by a timer in C.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
import socket
import sys
import time

import numpy as np

from vla_arm.arx5.claim import claim
from vla_arm.arx5.freshness import GRIPPER_MOVED, MOVED, Freshness, Standstill
from vla_arm.arx5.library import Library, Reading
from vla_arm.arx5.overload import Overload
from vla_arm.arx5.streamer import Streamer
from vla_arm.arx5.wire import ENDING, JOINTS, MAX_PACKET, ChildConfig, Mode, Order, Report, Verb
from vla_arm.errors import ArmError
from vla_arm.joint_table import outside

PERIOD = 0.004
"""Between joint commands [s]."""
LOOP_AGE = 0.15
"""The library's control loop has stopped when its last cycle is so old [s]."""
HANG = 1.0
"""A child that hangs ends itself after this, should nobody be left to kill it [s]."""
GONE = 1.0
"""Motors of which some fell silent and all have stood still for so long may be on a bus that is no
more: an adapter that was pulled out comes back as another, which only a new child finds [s]."""
USELESS, NOT_CONNECTED = 3, 4
"""Exit codes of a child whose library is of no more use, or found no arm."""
PRIORITY = -10
"""Niceness of the library's control loop and this one, where it is allowed."""
SLOW_CALL = 15.0
"""Longest that connecting or leaving may take [s]."""


class Child:
    """One thread, one loop: read, judge, obey, send, report.

    Args:
        link: this end of the socket.
        config: of the arm.
    """

    def __init__(self, link: socket.socket, config: ChildConfig) -> None:
        self._link, self._config = link, config
        self._mode, self._text, self._acknowledged = Mode.STARTING, "", 0
        self._torque_scale = 1.0
        self._streamer = Streamer(config)
        self._freshness = Freshness([MOVED] * JOINTS + [GRIPPER_MOVED])
        self._standstill: Standstill | None = None
        self.leaving = False

    def run(self) -> None:
        """Work until the driver leaves or says so."""
        faulthandler.dump_traceback_later(SLOW_CALL, exit=True)
        self._claim = claim(self._config.interface)
        self._library = Library(self._config.model, self._config.interface)
        self._overload = Overload(self._config, self._library.gripper_torque_max)
        self._mode = Mode.DAMPED
        gc.disable()  # nothing here makes cycles
        begin = due = time.monotonic()
        guarded = 0.0
        reading = self._library.read()
        while not self.leaving:
            now = time.monotonic()
            if now - guarded > HANG / 4:
                faulthandler.dump_traceback_later(HANG, exit=True)
                guarded = now
            reading = self._library.read()
            self._judge(reading, now)
            self._listen(reading)
            if self._mode == Mode.ENGAGED:
                self._library.send(self._streamer.step(time.monotonic()))
            self._report(reading, now, int((now - begin) / self._config.period))
            due = max(due + PERIOD, now)
            time.sleep(max(0.0, due - time.monotonic()))
        faulthandler.dump_traceback_later(SLOW_CALL, exit=True)
        self._library.damp()
        self._mode, self._text = Mode.LEAVING, "the driver's child was told to end: damped"
        self._report(reading, time.monotonic(), 0)
        self._library.close()

    def _judge(self, reading: Reading, now: float) -> None:
        """Damp when the arm is not as it must be."""
        text = self._overload.judge(reading, self._torque_scale)
        if reading.age > LOOP_AGE:
            stands = f"the library's control loop stands still for {reading.age:.2f} s"
            self._give_up(reading, self._overload.newest or stands)
        if text:
            self._fail(text)
        elif self._mode == Mode.ENGAGED and (silent := self._silent(reading, now)):
            self._fail(f"motors do not answer: {silent} (power, cable, CAN bus?)")
            self._standstill = Standstill()
        elif self._standstill and self._standstill.lasts(reading.motors, now) > GONE:
            self._give_up(reading, self._text)

    def _silent(self, reading: Reading, now: float) -> str:
        """Which motors have fallen silent, in words."""
        target = np.append(self._streamer.output[:JOINTS], reading.gripper_sent)
        silent = self._freshness.silent(reading.motors, target, now)
        joints = [motor for motor in silent if motor <= JOINTS]
        names = [f"joints {joints}"] if joints else []
        return " and ".join(names + ["gripper"] * (len(joints) < len(silent)))

    def _give_up(self, reading: Reading, text: str) -> None:
        """Leave without another call into the library; a new child damps."""
        self._mode = Mode.FAULT
        self._text = self._text or text
        self._report(reading, time.monotonic(), 0)
        os._exit(USELESS)

    def _fail(self, text: str) -> None:
        if self._mode != Mode.FAULT:
            self._library.damp()
        self._mode, self._text = Mode.FAULT, text

    def _listen(self, reading: Reading) -> None:
        """Obey all orders that came; of targets only the newest counts."""
        target: Order | None = None
        while True:
            try:
                packet = self._link.recv(MAX_PACKET)
            except BlockingIOError:
                break
            except OSError:
                packet = b""
            if not packet:
                self.leaving = True
                return
            order = Order.unpack(packet)
            self._torque_scale = order.torque_scale
            self._streamer.limit(order.speed_scale)
            if order.verb == Verb.FOLLOW:
                target = order
            elif order.verb != Verb.LIMIT:
                target = None
                self._obey(order, reading)
        if target is not None and self._mode == Mode.ENGAGED:
            self._streamer.take(target, time.monotonic())

    def _obey(self, order: Order, reading: Reading) -> None:
        if order.verb == Verb.DAMP:
            if self._mode not in (Mode.DAMPED, Mode.FAULT):
                self._library.damp()
                self._mode = Mode.DAMPED
        elif order.verb == Verb.ENGAGE and self._mode == Mode.ENGAGED:
            pass
        elif self._overload.newest:  # what stopped the arm is still there, or something new is
            self._fail(self._overload.newest)
        elif order.verb == Verb.TEACH:
            self._library.teach()
            self._mode, self._text = Mode.TEACHING, ""
        elif why := outside(reading.joints[0], self._config.lower, self._config.upper):
            self._fail(why)
        else:
            self._streamer.anchor(reading.joints[0], reading.gripper, time.monotonic())
            self._freshness.forget()
            self._standstill = None
            self._library.engage(self._streamer.output)
            self._mode, self._text = Mode.ENGAGED, ""
        self._acknowledged = order.number

    def _report(self, reading: Reading, now: float, tick: int) -> None:
        position, velocity, torque = reading.joints
        report = Report(
            self._mode,
            self._acknowledged,
            tick,
            now,
            position,
            velocity,
            torque,
            reading.gripper,
            self._text,
        )
        _try_send(self._link, report)


def _try_send(link: socket.socket, report: Report) -> None:
    # A driver that does not read loses reports; one that is gone is noticed on reading.
    with contextlib.suppress(OSError):
        link.send(report.pack())


def main() -> None:
    """Run the child."""
    with contextlib.suppress(OSError):  # needs CAP_SYS_NICE or a limit of `nice`
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    link = socket.socket(fileno=int(sys.argv[1]))
    link.setblocking(False)
    child = Child(link, ChildConfig.from_json(sys.argv[2]))

    def leave(number: int, frame: object) -> None:
        child.leaving = True

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides
    # Inherited blocked: one that came during the imports is obeyed now and has killed nobody.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    try:
        child.run()
    except ArmError as error:  # not connected: nothing moves, and the driver will try again
        _last_words(link, str(error))
        os._exit(NOT_CONNECTED)
    except Exception as error:  # the library raises RuntimeError, ValueError and what pybind makes
        _last_words(link, f"{type(error).__name__}: {error}")
        raise


def _last_words(link: socket.socket, text: str) -> None:
    zero = np.zeros(6)
    _try_send(link, Report(Mode.FAULT, 0, 0, time.monotonic(), zero, zero, zero, 0.0, text))


if __name__ == "__main__":
    main()
