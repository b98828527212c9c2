"""What all nodes share: parameters, diagnostics, honest transitions, a clean end."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import rclpy
import rclpy.utilities
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
)
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from rclpy.timer import Timer

from vla_policy_node import parameters
from vla_policy_node.clock import steady
from vla_policy_node.ending import Ending
from vla_policy_node.qos import REPORT
from vla_policy_node.shared_memory import remove_unfinished_ports

S = TypeVar("S")
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
SILENT = PublisherEventCallbacks(use_default_callbacks=False)
"""rclpy goes through all events before it takes a message, two of them for each publisher. They
warn of a subscriber that asks for another quality of service, which gets that warning itself."""
DIAGNOSTICS_PERIOD = 1.0
LOOK_PERIOD = 1.0
"""A node that has nothing to do looks so often whether it is to end [s]."""
LAUNCHED = "LEAN_VLA_LAUNCHED"
"""Environment variable with the process id of our launch files' launch: the node ends when that was
killed, lest the arm moves on with nobody there to end it."""
LAST_SPINS, LAST_TIME = 20, 0.1
"""After a node has stopped, so that who waits for a result of it gets one; and at most so long [s].
"""
ORPHAN_PERIOD = 0.1
"""Between looks whether the launch still lives [s]."""


class SettingsNode(LifecycleNode, Generic[S]):
    """A lifecycle node whose settings are a frozen dataclass.

    Subclasses fill in :meth:`configure`, :meth:`activate`, :meth:`deactivate` and :meth:`cleanup`;
    what these raise is logged, and the transition fails.

    Args:
        name: name of the node.
        settings_type: the dataclass of its parameters.
        options: passed on to the node, e.g. ``context`` or ``parameter_overrides``.
    """

    def __init__(self, name: str, settings_type: type[S], **options: Any) -> None:
        super().__init__(name, **options)
        self._settings_type = settings_type
        self._configured = self.active = False
        parameters.declare(self, settings_type)
        self.add_on_set_parameters_callback(self._judge_parameters)
        self.add_post_set_parameters_callback(self._take_parameters)
        self.settings: S = settings_type()
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics = self.create_publisher(
            DiagnosticArray, "/diagnostics", REPORT, event_callbacks=SILENT
        )
        self.warning = ""
        self._reported: tuple[bytes, str] | None = None
        self._entities: list[Callable[[], object]] = []
        self.create_timer(DIAGNOSTICS_PERIOD, self._on_diagnostics_timer, clock=self.steady_clock)

    def configure(self) -> None:
        """Take the settings and make everything that does not move the robot."""

    def activate(self) -> None:
        """Begin to work."""

    def deactivate(self) -> None:
        """Stop: the robot holds."""

    def cleanup(self) -> None:
        """Give back what :meth:`configure` made."""

    def objection(self, given: Sequence[Parameter]) -> str:
        """Why parameters, each fit by itself, are not taken; empty if they are."""
        return ""

    def settings_changed(self) -> None:
        """Called after live parameters were set, which nobody can refuse any more."""

    def health(self) -> tuple[bytes, str, Mapping[str, object]]:
        """Return diagnostic level, message and values."""
        return OK, "", {}

    def report_health(self) -> None:
        """Publish diagnostics at once if level or message changed."""
        level, text, _ = self.health()
        if (level, text) != self._reported:
            self._publish_health()

    def warn(self, text: str) -> None:
        """Log a warning once, and keep it for :meth:`health`."""
        if text != self.warning:
            self.get_logger().warning(text)
        self.warning = text
        self.report_health()

    def ros_time(self) -> float:
        """The node's ROS clock [s]: simulated time with ``use_sim_time``, else the wall clock."""
        return self.get_clock().now().nanoseconds * 1e-9

    def every(self, period: float, callback: Callable[[], None]) -> Timer:
        """Call back at a steady-clock period [s] until clean-up."""
        timer = self.create_timer(period, callback, clock=self.steady_clock)
        self.keep(lambda: self.destroy_timer(timer))
        return timer

    def keep(self, destroy: Callable[[], object]) -> None:
        """Have something undone at clean-up."""
        self._entities.append(destroy)

    def publisher(self, message_type: Any, topic: str, qos: Any) -> Any:
        """Make a publisher that lives until clean-up."""
        publisher = self.create_publisher(message_type, topic, qos, event_callbacks=SILENT)
        self.keep(lambda: self.destroy_publisher(publisher))
        return publisher

    def subscribe(
        self, message_type: Any, topic: str, callback: Any, qos: Any, *, raw: bool = False
    ) -> None:
        """Subscribe until clean-up."""
        subscription = self.create_subscription(message_type, topic, callback, qos, raw=raw)
        self.keep(lambda: self.destroy_subscription(subscription))

    def serve(self, service_type: Any, name: str, callback: Any) -> None:
        """Serve until clean-up."""
        service = self.create_service(service_type, name, callback)
        self.keep(lambda: self.destroy_service(service))

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the settings, then :meth:`configure`."""

        def work() -> None:
            self.settings = parameters.read(self, self._settings_type)
            self.configure()
            self._configured = True

        if self._attempt("configure", work):
            return super().on_configure(state)
        self._drop_entities()
        return TransitionCallbackReturn.FAILURE

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Become active."""
        if not self._attempt("activate", self.activate):
            return TransitionCallbackReturn.FAILURE
        self.active = True
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Become inactive, whatever fails on the way."""
        self._attempt("deactivate", self.deactivate)
        self.active = False
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the settings and all that was made of them."""
        self.leave()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and forget, from any state."""
        self.leave()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured."""
        self.leave()
        return TransitionCallbackReturn.SUCCESS

    def rest(self) -> None:
        """Stop; done twice it does nothing."""
        if self.active:
            self._attempt("deactivate", self.deactivate)
            self.active = False

    def leave(self) -> None:
        """Stop and forget; done twice it does nothing."""
        self.rest()
        if self._configured:
            self._attempt("clean up", self.cleanup)
        self._drop_entities()
        self._configured = False

    def _drop_entities(self) -> None:
        while self._entities:
            self._entities.pop()()

    def _attempt(self, what: str, work: Callable[[], None]) -> bool:
        try:
            work()
        except Exception as error:
            self.get_logger().error(f"cannot {what}: {error}")
            self.get_logger().debug(traceback.format_exc())
            return False
        return True

    def _judge_parameters(self, given: list[Parameter]) -> SetParametersResult:
        why = parameters.unfit(self._settings_type, given) or self.objection(given)
        if self._configured:
            why = why or parameters.settled(self._settings_type, given)
        return SetParametersResult(successful=not why, reason=why)

    def _take_parameters(self, given: list[Parameter]) -> None:
        if self._configured:
            self.settings = parameters.replaced(self.settings, given)
            self.settings_changed()

    def _on_diagnostics_timer(self) -> None:
        if self._configured:
            self._publish_health()

    def _publish_health(self) -> None:
        level, text, values = self.health()
        self._reported = level, text
        status = DiagnosticStatus(
            level=level,
            name=self.get_fully_qualified_name().lstrip("/"),
            message=text,
            hardware_id=self.get_name(),
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def run(make_node: Callable[[], SettingsNode[Any]], arguments: Sequence[str] | None = None) -> None:
    """Run a node until Ctrl-C; an end that was asked for has exit code 0.

    One thread takes all messages: with the nodes in processes of their own this is rclpy's fastest
    executor.
    """
    remove_unfinished_ports()
    rclpy.init(
        args=list(sys.argv if arguments is None else arguments),
        # ROS's own handler would close the graph before the node can tell the arm to hold.
        signal_handler_options=SignalHandlerOptions.NO,
    )
    ending = Ending()
    node = None
    try:
        node = make_node()
        if launch := os.environ.get(LAUNCHED):
            node.create_timer(ORPHAN_PERIOD, lambda: _end_without(launch), clock=node.steady_clock)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        _spin(executor, node, ending)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        # A signal that breaks off a message's conversion comes out of rclpy as this.
        if not ending.asked:
            raise
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        print(f"parameters: {error}", file=sys.stderr)
        sys.exit(2)
    finally:
        ending.begin()
        if node is not None:
            node.leave()
            node.destroy_node()
        rclpy.utilities.try_shutdown()


def _end_without(launch: str) -> None:
    # Not by the parent's id: the launch may be gone before this process looks for the first time.
    try:
        state = Path("/proc", launch, "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        state = "gone"
    if state in ("gone", "Z", "X"):
        raise KeyboardInterrupt


def _spin(executor: SingleThreadedExecutor, node: SettingsNode[Any], ending: Ending) -> None:
    while node.context.ok() and not ending.asked:
        executor.spin_once(LOOK_PERIOD)
    if node.context.ok():
        node.rest()
        end, spins = steady() + LAST_TIME, 0
        while spins < LAST_SPINS and steady() < end:
            executor.spin_once(0.0)
            spins += 1
