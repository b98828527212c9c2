"""``vla bench routing``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from vla_distill.cli.benches import origin, write


@dataclass(frozen=True)
class Routing:
    """Tell which language layers run in which phase of a task: a page, a picture and JSON.

    Attributes:
        policy: folder of a policy that chooses its layers.
        suite: suite of tasks.
        tasks: only these tasks of the suite, separated by commas.
        episodes: episodes a task.
        seed: first evaluation seed.
        json: write the numbers here.
        docs: folder for page and picture.
    """

    policy: Path = Path("checkpoints/student")
    suite: str = "arx5"
    tasks: str = ""
    episodes: int = 10
    seed: int = 0
    json: Path = Path("benchmarks/results/routing.json")
    docs: Path = Path("docs/results")


def main(arguments: Routing) -> int:
    """Play, write and tell."""

    from rich.progress import Progress

    from vla_distill.benchmark.routing import by_phase, changes, listen, touch_difference
    from vla_distill.benchmark.routing_page import draw, page
    from vla_distill.evaluation.episode import pick_tasks
    from vla_policy.checkpoint import load_policy

    policy = load_policy(arguments.policy)
    tasks = pick_tasks(arguments.suite, arguments.tasks)
    seeds = range(arguments.seed, arguments.seed + arguments.episodes)
    with Progress() as bar:
        task = bar.add_task("episodes", total=len(tasks) * len(seeds))
        chunks = listen(policy, tasks, seeds, tell=lambda done: bar.update(task, completed=done))
    touching = touch_difference(chunks)
    record = {
        "policy": str(arguments.policy),
        "episodes": arguments.episodes,
        "seed": arguments.seed,
        **origin(),
        "rows": by_phase(chunks, policy.config.language.layers),
        "touching": asdict(touching) if touching else None,
        "changes": changes(chunks),
    }
    write(record, arguments.json)
    draw(record["rows"], arguments.docs / "routing.png")
    text = page(record, "routing.png")
    (arguments.docs / "routing.md").write_text(text, encoding="utf-8")
    print(text)
    return 0
