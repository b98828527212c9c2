"""What a chunk may cost while the robot runs. No ROS here.

Parameters are ceilings; the deadline controller moves below them; the guard overrides both.
"""

from __future__ import annotations

from dataclasses import asdict, replace

from vla_policy.contract import ComputeReport, Policy
from vla_policy.efficiency.budget import Adjustable, Budget
from vla_policy.efficiency.deadline import DeadlineController
from vla_policy.efficiency.guard import Disagreement, Guard
from vla_policy_node.compute_settings import ComputeSettings
from vla_policy_node.errors import NodeError

PREFIX = "compute_"


class ComputeControl:
    """Sets the budget of a policy; what is set holds from the next chunk on.

    Args:
        policy: its ``plan`` is adjusted; one without an adjustable plan is left alone.

    Attributes:
        guard: to look at chunks; None if the policy is not adjustable.
        disagreement: what the guard found last, or None.
    """

    def __init__(self, policy: Policy) -> None:
        plan = getattr(policy, "plan", None)
        self._plan = plan if isinstance(plan, Adjustable) else None
        self._controller: DeadlineController | None = None
        self._applied: tuple[Budget, float] | None = None
        self._fresh = False
        self._in_full = 0
        self._step_dt = policy.step_dt
        self.guard = Guard(policy) if self._plan is not None else None
        self.disagreement: Disagreement | None = None

    @property
    def fallen_back(self) -> bool:
        """Whether the guard has all computed in full."""
        return self._in_full > 0

    @property
    def lowered(self) -> bool:
        """Whether the deadline keeps the budget below its ceiling."""
        return self._controller is not None and self._controller.lowered

    def __str__(self) -> str:
        return "not adjustable" if self._plan is None else str(self._plan.budget)

    def ceiling(self, settings: ComputeSettings) -> Budget | None:
        """The most that a chunk may cost; None if the policy is not adjustable.

        Raises:
            NodeError: a parameter is out of this policy's range, which the message gives, or set
                for a policy that is not adjustable.
        """
        wanted = {
            name: getattr(settings, f"{PREFIX}{name}")
            for name in Budget.__dataclass_fields__
            if getattr(settings, f"{PREFIX}{name}")
        }
        if self._plan is None:
            if wanted or settings.compute_deadline_ms:
                names = [f"compute.{name}" for name in wanted] or ["compute.deadline_ms"]
                raise NodeError(
                    ", ".join(names), got="a policy that is not adjustable", expected="0"
                )
            return None
        for name, value in wanted.items():
            low, high = self._plan.limits[name]
            if not low <= value <= high:
                only = "" if low < high else ": the policy's recipe has no method for it"
                raise NodeError(
                    f"compute.{name}",
                    got=value,
                    expected=f"{low} to {high}, or 0 for the recipe's choice{only}",
                )
        return replace(self._plan.default, **wanted)

    def apply(self, settings: ComputeSettings, replan_steps: int) -> None:
        """Take the parameters.

        Args:
            settings: the ceilings, the deadline and the guard's.
            replan_steps: chunk steps from one chunk to the next.

        Raises:
            NodeError: see :meth:`ceiling`.
        """
        ceiling = self.ceiling(settings)
        if ceiling is None or self._plan is None or self.guard is None:
            return
        self.guard.every = settings.compute_guard_every
        self.guard.spare = replan_steps * self._step_dt
        applied = ceiling, settings.compute_deadline_ms
        if applied == self._applied:
            return  # another parameter changed: the controller keeps what it has learned
        self._applied, self._controller = applied, None
        if settings.compute_deadline_ms:
            self._controller = DeadlineController(
                ceiling, self._plan.limits, settings.compute_deadline_ms
            )
        self._fresh = True
        if not self._in_full:
            self._plan.budget = ceiling

    def judge(self, found: Disagreement, settings: ComputeSettings) -> str:
        """Take what the guard found; say that the policy falls back, empty if it does not."""
        self.disagreement = found
        within = found.millimetres <= settings.compute_guard_mm
        if (within and found.degrees <= settings.compute_guard_degrees) or self._plan is None:
            return ""
        self._in_full = settings.compute_guard_hold
        self._plan.budget = self._plan.whole
        return f"{self._in_full} chunks in full: the guard found {found} from full compute"

    def see(self, report: ComputeReport) -> str:
        """Take what a chunk cost; say what was changed because of it, empty if nothing was."""
        if self._plan is None or self._applied is None:
            return ""
        if self._in_full:
            self._in_full -= 1
            if self._in_full:
                return ""
            self._plan.budget = self._controller.budget if self._controller else self._applied[0]
            self._fresh = True
            return f"after full compute again {self._plan.budget}"
        if self._controller is None:
            return ""
        if self._fresh and not self._plan.can_have_made(report):
            return ""  # thought before the budget was set
        self._fresh = False
        took = report.milliseconds.get("total", 0.0)
        before = asdict(self._plan.budget)
        if not self._controller.see(took):
            return ""
        self._plan.budget = self._controller.budget
        changes = [
            f"compute.{name} {before[name]} -> {value}"
            for name, value in asdict(self._controller.budget).items()
            if value != before[name]
        ]
        why = f"a chunk took {took:.1f} ms of {self._applied[1]:.1f} ms"
        return f"{', '.join(changes)}: {why}"
