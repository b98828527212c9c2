"""Demonstrations on disk: LeRobot v3.0, written in pieces, read as arrays."""

from vla_distill.dataset.episode import EpisodeFrames, EpisodeRecord
from vla_distill.dataset.errors import DatasetError
from vla_distill.dataset.joined import joined
from vla_distill.dataset.reader import Dataset
from vla_distill.dataset.store import FrameStore
from vla_distill.dataset.writer import DatasetWriter

__all__ = [
    "Dataset",
    "DatasetError",
    "DatasetWriter",
    "EpisodeFrames",
    "EpisodeRecord",
    "FrameStore",
    "joined",
]
