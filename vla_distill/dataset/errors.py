"""Errors of datasets on disk."""

from __future__ import annotations

from vla_distill.errors import DistillError


class DatasetError(DistillError):
    """A dataset on disk, or something to be written into one, is wrong; names file and field."""
