"""Errors of environments and their descriptions."""

from __future__ import annotations

from vla_distill.errors import DistillError


class AdapterError(DistillError):
    """An environment is not as its description says, or the description is not usable."""
