"""Where a small dataset is written: beside its place, and moved there when it is whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vla_distill.dataset import DatasetError, layout

PAGE = "samples.html"
SAMPLES = "samples"
"""Key of each sample's evidence in the summary."""


def finished(out: Path, origin: Mapping[str, Any]) -> dict[str, Any] | None:
    """The summary of what is there already, without each sample's evidence; None if nothing is.

    Args:
        out: folder of the small dataset.
        origin: what decides the outcome.

    Raises:
        DatasetError: it is something else, or made of something else.
    """
    if not out.exists():
        return None
    try:
        summary = json.loads((out / layout.SUMMARY_PATH).read_text(encoding="utf-8"))
        settings = summary["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        settings = {}
    # Older ones also tell the hash of an init that nothing was made of.
    if other := [key for key, value in origin.items() if settings.get(key) != value]:
        differs = [key for key in other if key in settings]
        raise DatasetError(
            f"{out}",
            got=f"one of another {', '.join(differs)}" if differs else "something else",
            expected="a free path, or what was asked for",
        )
    return {key: value for key, value in summary.items() if key != SAMPLES}


def files(
    summary: Mapping[str, Any], samples: list[dict[str, Any]], page: Path | None
) -> dict[str, str]:
    """What stands beside the samples: name -> text.

    Args:
        summary: provenance.
        samples: evidence of each.
        page: of the most and least valuable ones; None if they were not traced.
    """
    text = json.dumps({**summary, SAMPLES: samples}, indent=1, allow_nan=False) + "\n"
    pages = {} if page is None else {PAGE: page.read_text(encoding="utf-8")}
    return {layout.SUMMARY_PATH: text, **pages}


def publish(out: Path, write: Callable[[Path], None], beside: Mapping[str, str]) -> None:
    """Write into a folder beside ``out``, which becomes ``out`` when all is there.

    Args:
        out: must not exist.
        write: writes the samples into a folder.
        beside: further files, name -> text.
    """
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write(partial)
    for name, text in beside.items():
        (partial / name).write_text(text, encoding="utf-8")
    partial.rename(out)
