"""The driver's side: starts the child, watches it, kills it when it hangs, starts it again.

No call here waits for the child, :meth:`Driver.stop` excepted.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_arm.arx5.wire import ENDING, JOINTS, MAX_PACKET, ChildConfig, Mode, Order, Report, Verb

HEARTBEAT = 0.2
"""A child that says nothing for so long hangs [s]; the library's damping blocks it for 0.01 s."""
START = 20.0
"""Longest that a child may take until its first report [s]."""
OBEDIENCE = 0.1
"""An order to damp that is not acknowledged within this kills the child [s]."""
FIRST_RETRY, LAST_RETRY = 0.3, 5.0
"""Wait before the child is started again, doubled each time [s]."""
LOOK = 0.005
"""Between looks at a child that was told to end [s]."""
HEALTHY = 5.0
"""A child that lived so long was well: the wait starts anew [s]."""
DAMPING = 0.3
"""A child that was told to end and has not damped by then hangs [s]."""
COME_UP = 5.0
"""The same of one that has to come up for that: 0.3 s here, the library may take 2 s more [s]."""
LEAVE = 6.0
"""Longest that a child may take to leave the bus once it has damped [s]."""
MAY_BE_STIFF = "the arm may still be stiff and holds its last target: cut the motors' power"
_SIGNALS = {
    signal.SIGABRT: "the library aborted: a frame with an id above 7 on the bus "
    "(nothing else may use it)",
    signal.SIGKILL: "the driver's child was killed",
}


class Driver:
    """One arm.

    Args:
        config: of the arm.
        log: takes what is worth a line in the log.
        clock: steady clock [s].
    """

    def __init__(
        self,
        config: ChildConfig,
        log: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._log, self._clock = config, log, clock
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._report: Report | None = None
        self._wanted = Verb.DAMP
        self._number = self._engaging = 0
        self._heard = self._started = self._retry_at = 0.0
        self._retry = FIRST_RETRY
        self._deadline: tuple[float, int] | None = None
        self._stopped, self._leaving = True, False
        self._stiff = False  # whether the motors may be stiff, for all that a child has said
        self._torque_scale = self._speed_scale = 1.0
        self.restarts = 0
        self.trouble = ""

    @property
    def report(self) -> Report | None:
        """The living child's newest report."""
        return self._report

    @property
    def engaged(self) -> bool:
        """Whether targets are followed."""
        return self._report is not None and self._report.mode == Mode.ENGAGED

    @property
    def pid(self) -> int | None:
        """Of the child."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the child; the arm is damped and does not move by this."""
        self._stopped = False
        self._spawn()

    def engage(self) -> str:
        """Hold the arm where it is, and follow targets from then on; also ends a trouble.

        Returns:
            Why that cannot be now; empty if it can.
        """
        return self._want(Verb.ENGAGE)

    def teach(self) -> str:
        """Let the arm be guided by hand. Returns as :meth:`engage`."""
        return self._want(Verb.TEACH)

    def damp(self) -> None:
        """Damp the arm; a child that does not is killed, and its successor damps."""
        self._wanted = Verb.DAMP
        if self._process is not None and self._heard and not self._leaving:
            self._deadline = self._clock() + OBEDIENCE, self._order(Verb.DAMP)

    def limit(self, torque_scale: float, speed_scale: float) -> None:
        """Limit torques and joint speeds to these shares of the table's, whatever is done."""
        if (torque_scale, speed_scale) != (self._torque_scale, self._speed_scale):
            self._torque_scale, self._speed_scale = torque_scale, speed_scale
            self._order(Verb.LIMIT)

    def follow(self, positions: ArrayLike, gripper: float) -> None:
        """Send joint targets, Shape (6,) [rad], and opening [m]; lost unless engaged."""
        self._order(Verb.FOLLOW, np.asarray(positions, dtype=np.float64), gripper)

    def poll(self) -> list[Report]:
        """Take what the child said, and look after it. To be called every few milliseconds.

        Returns:
            The first report of each new control period.
        """
        if self._stopped:
            return []
        now = self._clock()
        news = self._listen(now)
        if self._process is None:
            if now >= self._retry_at:
                try:
                    self._spawn()
                except OSError as error:  # no memory, say: later there may be
                    self._lose(f"the driver's child cannot be started: {error}", now)
        elif self._process.poll() is not None:
            self._listen(now)  # its last words may have come since
            self._lose(self._obituary(self._process.returncode), now)
        elif self._deadline is not None and now > self._deadline[0]:
            self._lose("the library did not damp when told to: killed", now)
        elif now - max(self._heard, self._started) > self._patience:
            what = "the library hangs" if self._heard else "the library does not come up"
            self._lose(f"{what}: killed", now)
        return news

    def stop(self) -> None:
        """Damp the arm and let it go; waits for that.

        Where no child is left to damp a stiff arm, another is started for it.
        """
        self._stopped, self._wanted = True, Verb.DAMP
        self._end()
        if self._stiff:
            self._log("no process has damped the arm: another is started for that")
            with contextlib.suppress(OSError):  # no memory, say: the next line tells it
                self._spawn()
            self._end()
        if self._stiff:
            self._log(MAY_BE_STIFF)

    def _end(self) -> None:
        """Have the child damp and leave, and wait for it; one that hangs is killed."""
        process = self._process
        if process is not None:
            process.send_signal(signal.SIGTERM)
            end = self._clock() + (DAMPING if self._heard else COME_UP)
            while not self._leaving and process.poll() is None and self._clock() < end:
                time.sleep(LOOK)
                self._listen(self._clock())
            if self._leaving:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(LEAVE)
            process.kill()
            process.wait()
            self._listen(self._clock())  # its last words may have come since
        self._process = self._report = None
        self._hang_up()

    @property
    def _patience(self) -> float:
        """How long the child may be silent just now [s]."""
        if self._leaving:
            return LEAVE
        return HEARTBEAT if self._heard else START

    def _want(self, verb: Verb) -> str:
        if self._report is None:
            return self.trouble or "the driver is starting"
        self.trouble = ""
        self._wanted = verb
        self._deadline = None
        self._order(verb)
        return ""

    def _listen(self, now: float) -> list[Report]:
        news: list[Report] = []
        while self._link is not None:
            try:
                packet = self._link.recv(MAX_PACKET)
            except OSError:
                break
            if not packet:
                break
            report = Report.unpack(packet)
            first = not self._heard
            self._heard = now
            if self._process is None or (report.mode == Mode.FAULT and first):
                self._fault(report.text)  # it could not even connect
                continue
            if report.mode == Mode.LEAVING:
                self._leaving, self._report, self._deadline = True, None, None
                self._stiff = False
                if not self._stopped:
                    self._fault(report.text)
                continue
            if self._report is None or report.tick > self._report.tick:
                news.append(report)
            self._report = report
            self._judge(report)
            if first:  # it knows no limits yet
                self._order(Verb.LIMIT if self._wanted == Verb.DAMP else self._wanted)
        return news

    def _judge(self, report: Report) -> None:
        limp = report.mode in (Mode.DAMPED, Mode.TEACHING)
        if limp and report.acknowledged >= self._engaging:
            self._stiff = False
        # One from before the newest order to engage is about what that order shall end.
        if report.mode == Mode.FAULT and report.acknowledged >= self._engaging:
            self._fault(report.text)
        if self._deadline is not None and report.acknowledged >= self._deadline[1]:
            self._deadline = None

    def _fault(self, text: str) -> None:
        if not self.trouble:
            self._log(text)
        self.trouble = self.trouble or text
        self._wanted = Verb.DAMP

    def _lose(self, text: str, now: float) -> None:
        """Give the child up; another is started after a while."""
        self._fault(text)
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.poll()
        if self._heard and now - self._started > HEALTHY:
            self._retry = FIRST_RETRY
        self._retry_at = now + self._retry
        self._retry = min(2 * self._retry, LAST_RETRY)
        self._report, self._deadline, self._heard, self._engaging = None, None, 0.0, 0
        self._hang_up()

    def _hang_up(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link = None

    def _obituary(self, code: int) -> str:
        if code < 0:
            number = signal.Signals(-code)
            return _SIGNALS.get(number, f"the library died of {number.name}")
        return self.trouble or f"the driver's child has ended with exit code {code}"

    def _spawn(self) -> None:
        self._link, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._link.setblocking(False)
        self._started, self._heard, self._leaving = self._clock(), 0.0, False
        self._engaging = 0
        command = [sys.executable, "-m", "vla_arm.arx5.child"]
        # The child inherits the mask: told to end while it still imports, it waits and then damps.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            self._process = subprocess.Popen(
                [*command, str(other.fileno()), self._config.to_json()],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno() if hasattr(sys.stderr, "fileno") else None,
                start_new_session=True,  # Ctrl-C is for the driver, who then stops it in order
            )
        finally:
            other.close()
            self.restarts += 1
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _order(
        self, verb: Verb, positions: NDArray[np.float64] | None = None, gripper: float = 0.0
    ) -> int:
        self._number += 1
        if verb in (Verb.ENGAGE, Verb.TEACH):
            self._engaging = self._number
            self._stiff = self._stiff or verb == Verb.ENGAGE
        values = np.zeros(JOINTS) if positions is None else positions
        shares = self._torque_scale, self._speed_scale
        order = Order(verb, self._number, self._clock(), values, gripper, *shares)
        if self._link is not None:
            with contextlib.suppress(OSError):  # full: the child hangs, which poll() sees
                self._link.send(order.pack())
        return self._number
