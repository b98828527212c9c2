"""The table of data distillation in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vla_distill.benchmark.data_summary import BASELINES


def page(record: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """The page.

    Args:
        record: ``tasks``, ``episodes``, ``first_seed``, ``steps``, ``data``, ``ratio``, ``rows``,
            and where it comes from: ``command``, ``commit``, ``machine``.
        rows: as of :func:`vla_distill.benchmark.data_summary.summarise`.
    """
    seeds = ", ".join(map(str, dict.fromkeys(row["seed"] for row in record["rows"])))
    commits = ", ".join(dict.fromkeys(row["commit"] for row in record["rows"]))
    machine = record["machine"]
    lines = [
        "# Teaching with less data",
        "",
        f"`{record['data']}`{_where(record)}, tasks {', '.join(record['tasks'])};"
        f" {record['episodes']} episodes a task and training, from seed {record['first_seed']} on,"
        f" all rows on the same; training seeds {seeds}; `full` and arms that end in `_long` take"
        f" {record['steps']} optimiser steps, all others a fifth; {machine['processor']},"
        f" {machine['cores']} cores; rows of commit {commits}. Made by `{record['command']}`.",
        "",
        f"| arm | data | success [%] | each seed | of full's | {_heads()}"
        " | labels lean | training | preprocessing |",
        "|---" * (8 + len(BASELINES)) + "|",
        *map(_line, rows),
        "",
        "In brackets 95 % intervals: of one seed Wilson's of a rate and Newcombe's of a paired"
        " difference, which do not cover that trainings differ; of several the wider of a bootstrap"
        " over seeds and episodes and Student's of the seeds' means. Runs on all data are held"
        f" against those on {100 * record['ratio']:g} %. Differences in points, seeds in the order"
        " above. Samples are frames with the chunk that followed; the ratio counts frames. Labels"
        " lean: length of the mean deviation of the commanded positions from what the teacher says"
        " of the same frames, and the standard error of one seed's.",
        "",
        "## By task",
        "",
        "Successes.",
        "",
        *_by_task(rows),
    ]
    return "\n".join(lines) + "\n"


def _where(record: dict[str, Any]) -> str:
    return f", evaluated in `{record['env']}`" if record.get("env") else ""


def _line(row: dict[str, Any]) -> str:
    rate = f"{100 * row['success']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    against = [_difference(row["against"].get(name)) for name in BASELINES]
    share = "" if row["of_full"] is None else f"{100 * row['of_full']:.0f} %"
    each = ", ".join(f"{100 * success:.1f}" for success in row["each"])
    return (
        f"| `{row['arm']}` | {100 * row['ratio']:g} % | {rate} | {each}"
        f" | {share} | {' | '.join(against)} | {_lean(row['lean'])}"
        f" | {row['train_seconds'] / 60:.1f} min | {row['preprocess_seconds'] / 60:.1f} min |"
    )


def _heads() -> str:
    return " | ".join(f"against `{name}`" for name in BASELINES)


def _difference(found: Mapping[str, float] | None) -> str:
    if found is None:
        return ""
    low, high = 100 * found["low"], 100 * found["high"]
    return f"{100 * found['value']:+.1f} [{low:+.1f}, {high:+.1f}]"


def _lean(found: Sequence[Mapping[str, float]]) -> str:
    if not found:
        return ""
    mean, error = (sum(each[key] for each in found) / len(found) for key in ("mm", "error_mm"))
    return f"{mean:.1f} ± {error:.1f} mm"


def _by_task(rows: Sequence[dict[str, Any]]) -> list[str]:
    tasks = list(rows[0]["outcomes"])
    lines = [f"| arm | data | {' | '.join(tasks)} |", "|---" * (2 + len(tasks)) + "|"]
    for row in rows:
        counts = (f"{row['outcomes'][t].count('1')} of {len(row['outcomes'][t])}" for t in tasks)
        lines.append(f"| `{row['arm']}` | {100 * row['ratio']:g} % | {' | '.join(counts)} |")
    return lines
