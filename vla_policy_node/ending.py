"""A signal asks a node to end; it ends between two callbacks, never amid one."""

from __future__ import annotations

import signal
from types import FrameType

from vla_policy_node.clock import steady

SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
"""SIGHUP comes to all nodes when a terminal or an ssh connection closes; nohup has it ignored."""
PATIENCE = 2.0
"""From here on [s] after the first signal another one breaks off what runs. Shortly after it others
come by themselves: Ctrl-C in a terminal reaches a node, and its launch passes it on."""


class Ending:
    """Takes over SIGNALS.

    An exception out of the handler would come between any two operations: amid a message that a
    recorder writes, or a controller's step.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self._since is not None

    def begin(self) -> None:
        """Nothing disturbs the ending from here on."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = steady()
        if self._since is None:
            self._since = now
        elif now - self._since > PATIENCE:
            raise KeyboardInterrupt
