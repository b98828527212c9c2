"""The ablation as a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vla_distill.benchmark.comparison_page import table, with_latencies


def page(record: dict[str, Any], picture: str) -> str:
    """The table in Markdown.

    Args:
        record: ``rows`` as of :func:`vla_distill.benchmark.ablation.run`, ``policy``, ``episodes``,
            ``seed``, and where it comes from: ``command``, ``commit``, ``machine``.
        picture: file of the plot, relative to the page.
    """
    machine = record["machine"]
    latencies = [prefix.removesuffix("_") for prefix in with_latencies(record["rows"])]
    lines = [
        "# Success against compute",
        "",
        f"`{record['policy']}`, {record['episodes']} episodes a task from seed {record['seed']} on,"
        f" all rows on the same; {machine['processor']}, {machine['cores']} cores."
        f" Made by `{record['command']}` at commit {record['commit']}.",
        "",
        *table(record["rows"], "recipe", "plain"),
        "",
        "In brackets 95 % intervals: Wilson's of a rate, Newcombe's of a paired difference, in"
        " points. The bound is the speed-up if the time of every stage fell as its operations do.",
        "",
        f"![Success against operations]({picture})",
        "",
        "## By task",
        "",
        f"Successes with latency {' and '.join(name or 'none' for name in latencies)}.",
        "",
        *_by_task(record["rows"]),
    ]
    return "\n".join(lines) + "\n"


def _by_task(rows: Sequence[dict[str, Any]]) -> list[str]:
    tasks = list(rows[0]["outcomes"])
    lines = [f"| recipe | {' | '.join(tasks)} |", "|---" * (1 + len(tasks)) + "|"]
    for row in rows:
        counts = (
            ", ".join(str(row[f"{p}outcomes"][task].count("1")) for p in with_latencies(rows))
            for task in tasks
        )
        lines.append(f"| {row['name']} | {' | '.join(counts)} |")
    return lines
