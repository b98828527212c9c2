"""The settings of what a chunk may cost; part of policy_node's parameters, as ``compute.*``."""

from __future__ import annotations

from dataclasses import dataclass

from vla_policy_node.parameters import setting


@dataclass(frozen=True)
class ComputeSettings:
    """Ceilings, deadline and guard."""

    compute_language_layers: int = setting(
        0,
        "language layers that run at most; 0 leaves the recipe's choice",
        low=0,
        high=1024,
        live=True,
        name="compute.language_layers",
    )
    compute_visual_tokens: int = setting(
        0,
        "visual tokens that go on at most; 0 leaves the recipe's choice",
        low=0,
        high=65536,
        live=True,
        name="compute.visual_tokens",
    )
    compute_head_cache_interval: int = setting(
        0,
        "denoising steps from one computed to the next; 1: all are; 0 leaves the recipe's choice",
        low=0,
        high=1024,
        live=True,
        name="compute.head_cache_interval",
    )
    compute_head_steps: int = setting(
        0,
        "denoising steps; 0 leaves the recipe's choice",
        low=0,
        high=1024,
        live=True,
        name="compute.head_steps",
    )
    compute_reused_tokens: int = setting(
        0,
        "visual tokens taken from earlier frames at most; 0 leaves the recipe's choice",
        low=0,
        high=65536,
        live=True,
        name="compute.reused_tokens",
    )
    compute_deadline_ms: float = setting(
        0.0,
        "time that a chunk may take; above it the budget goes down step by step; 0: no deadline",
        unit="ms",
        low=0.0,
        high=60000.0,
        live=True,
        name="compute.deadline_ms",
    )
    compute_guard_every: int = setting(
        50,
        "chunks after which one is computed in full too, when there is time, at 5 % duty at most; "
        "0: no guard",
        low=0,
        high=100000,
        live=True,
        name="compute.guard_every",
    )
    compute_guard_mm: float = setting(
        50.0,
        "disagreement with full compute beyond which the policy falls back to it",
        unit="mm",
        low=0.0,
        high=10000.0,
        live=True,
        name="compute.guard_mm",
    )
    compute_guard_degrees: float = setting(
        30.0,
        "disagreement with full compute beyond which the policy falls back to it",
        unit="deg",
        low=0.0,
        high=360.0,
        live=True,
        name="compute.guard_degrees",
    )
    compute_guard_hold: int = setting(
        50,
        "chunks computed in full after a disagreement",
        low=1,
        high=100000,
        live=True,
        name="compute.guard_hold",
    )
