"""Errors about bags."""

from __future__ import annotations

from vla_distill.errors import DistillError


class BagError(DistillError):
    """A bag, a mapping or what was asked of them is wrong."""
