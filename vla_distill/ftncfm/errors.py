"""Errors of data distillation."""

from __future__ import annotations

from vla_distill.errors import DistillError


class DataDistillationError(DistillError):
    """A sample, a budget or a work folder is not what distilling a dataset needs."""
