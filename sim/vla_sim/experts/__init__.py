"""Scripted experts, one a task, that see the simulator's state."""

from __future__ import annotations

from vla_sim.experts.expert import Expert

__all__ = ["Expert"]
