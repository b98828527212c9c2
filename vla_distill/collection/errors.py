"""Errors of collecting demonstrations."""

from __future__ import annotations

from vla_distill.errors import DistillError


class CollectionError(DistillError):
    """Demonstrations cannot be collected as asked."""
