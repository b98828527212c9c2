"""A whole evaluation: waves of episodes over several processes, written down as they end."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.util
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vla_distill.environments.pool import EnvironmentPool
from vla_distill.errors import DistillError
from vla_distill.evaluation import latency as latencies
from vla_distill.evaluation.episode import EpisodeResult, EpisodeSpec, specs
from vla_distill.evaluation.journal import Journal
from vla_distill.evaluation.rollout import RolloutConfig, run_wave
from vla_distill.evaluation.seat import Seat
from vla_distill.evaluation.statistics import percentiles, wilson
from vla_distill.workers import worker_pool
from vla_policy.chunking import make_chunking
from vla_policy.contract import Observation, Policy

REPLAN_STEPS = 2
"""Chunk steps between the moments that chunks are timed on."""

MOMENTS = 5
"""Moments that chunks are timed on."""

PolicySource = Callable[[], Policy]
"""Makes the policy; must be picklable, because every process makes its own."""


@dataclass(frozen=True)
class EvaluationConfig:
    """What to evaluate on.

    Attributes:
        tasks: names of tasks.
        env: a Gymnasium environment instead of our own simulator, as in ``vla eval --env``.
        episodes: episodes a task.
        seed: first seed; a task's episodes have the seeds from here on.
        instructions: split of the sentences.
        swap: ask for another object of the same scene.
        latency: ``none``, ``measured`` or milliseconds.
        replan_steps: chunk steps after which a new chunk is wanted.
        chunking: how a new chunk takes over from the old one: switch, fade, ensemble or rtc.
        batch: episodes stepped together in a process.
        processes: how many processes; 1 stays in this one.
        videos: episodes of each task to record.
        out: folder for the journal, the videos and the contact sheet; None keeps nothing.
    """

    tasks: Sequence[str]
    env: str = ""
    episodes: int = 100
    seed: int = 0
    instructions: str = "train"
    swap: bool = False
    latency: str = "none"
    replan_steps: int = 2
    chunking: str = "switch"
    batch: int = 10
    processes: int = 1
    videos: int = 0
    out: Path | None = None

    def shows(self, spec: EpisodeSpec) -> bool:
        """Whether an episode is one of those to record."""
        return spec.seed - self.seed < self.videos


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    Attributes:
        results: one an episode, task by task, seed by seed.
        chunk_ms: wall times of single chunks, measured before the first episode [ms].
    """

    results: list[EpisodeResult]
    chunk_ms: list[float] = field(default_factory=list)

    @property
    def outcomes(self) -> dict[str, str]:
        """By task 1 for each episode that succeeded and 0 for each that failed, seed by seed."""
        found: dict[str, str] = {}
        for result in self.results:
            found[result.task] = found.get(result.task, "") + "01"[result.success]
        return found

    def summary(self) -> dict[str, Any]:
        """Success by task with Wilson intervals, and the cost of a chunk, ready for JSON."""
        tasks = []
        for name in dict.fromkeys(result.task for result in self.results):
            own = [result for result in self.results if result.task == name]
            rate = wilson(sum(result.success for result in own), len(own))
            causes = [result.cause for result in own if not result.success]
            seconds = [result.seconds for result in own if result.success]
            tasks.append(
                {
                    "name": name,
                    "success": rate.value,
                    "low": rate.low,
                    "high": rate.high,
                    "episodes": len(own),
                    "median_seconds": float(np.median(seconds)) if seconds else None,
                    "failures": {cause: causes.count(cause) for cause in sorted(set(causes))},
                }
            )
        overall = wilson(sum(result.success for result in self.results), len(self.results))
        chunks = sum(result.chunks for result in self.results)
        gflops = sum(result.gflops * result.chunks for result in self.results)
        return {
            "mean_success": float(np.mean([task["success"] for task in tasks])),
            "low": overall.low,
            "high": overall.high,
            "tasks": tasks,
            "ms_per_chunk": percentiles(self.chunk_ms),
            "gflops_per_chunk": gflops / chunks if chunks else 0.0,
            "seam_jump": percentiles([result.seam_jump for result in self.results]),
            "episodes": [asdict(result) for result in self.results],
        }


def evaluate(
    source: PolicySource,
    config: EvaluationConfig,
    progress: Callable[[Sequence[EpisodeResult], int], None] = lambda results, total: None,
) -> Evaluation:
    """Run the evaluation, going on where an interrupted one in ``config.out`` stopped.

    Args:
        source: makes the policy.
        config: what to evaluate on.
        progress: called with all results so far and the number of all episodes.

    Returns:
        The results; the same for any number of processes.

    Raises:
        DistillError: a setting is out of range, or ``out`` holds an evaluation with other settings.
    """
    if min(config.episodes, config.batch, config.processes, config.replan_steps) < 1:
        raise DistillError(
            "episodes, batch, processes, replan_steps",
            got=(config.episodes, config.batch, config.processes, config.replan_steps),
            expected="at least 1 each",
        )
    if config.env and (config.swap or config.instructions != "train"):
        raise DistillError(
            "swap, instructions",
            got=(config.swap, config.instructions),
            expected="no swap, and train: an environment has one sentence a task",
        )
    seeds = range(config.seed, config.seed + config.episodes)
    waves = _waves(specs(config.tasks, seeds, config.instructions, config.swap), config.batch)
    latencies.parse(config.latency, [1.0])  # a bad word is said before the policy is loaded
    policy = source()
    make_chunking(config.chunking, policy)  # an unfit one too
    if config.replan_steps > policy.horizon:
        raise DistillError(
            "replan_steps",
            got=config.replan_steps,
            expected=f"at most {policy.horizon}, the steps of this policy's chunk",
        )
    journal = Journal(config.out / "episodes.jsonl" if config.out else None)
    if journal.header:
        chunk_ms = journal.header["measured"]["chunk_ms"]
    else:
        scene = moments(policy, waves[0][0], config.env)
        chunk_ms = latencies.measure(policy, scene, chunking=config.chunking)
    journal.begin(_settings(policy, config), {"chunk_ms": chunk_ms})
    rollout = RolloutConfig(
        config.replan_steps, latencies.parse(config.latency, chunk_ms), chunking=config.chunking
    )
    todo = {
        number: wave
        for number, wave in enumerate(waves)
        if number not in journal.waves or _unseen(wave, config)
    }
    total = sum(map(len, waves))
    progress(journal.results(), total)
    for number, results in _run(source, policy, todo, rollout, config):
        if number not in journal.waves:
            journal.add(number, results)
        progress(journal.results(), total)
    return Evaluation(journal.results(), chunk_ms)


def _unseen(wave: Sequence[EpisodeSpec], config: EvaluationConfig) -> bool:
    """Whether a wave that was played before has to be played again, for its videos."""
    from vla_distill.report.watchers import has_video

    out = config.out
    return out is not None and any(config.shows(s) and not has_video(out, s) for s in wave)


def moments(policy: Policy, spec: EpisodeSpec, env: str = "") -> list[Observation]:
    """Observations of an episode's first moments, a replanning period apart, for timing."""
    found: list[Observation] = []
    with contextlib.closing(EnvironmentPool(policy, env)) as pool:
        (environment,) = pool.take(1)
        seat = Seat(environment, spec, policy.start(spec.seed))
        between = REPLAN_STEPS * round(policy.step_dt / environment.control_dt)
        for tick in range(MOMENTS * between):
            seat.look()
            if tick % between == 0:
                found.append(seat.observation)
            seat.advance()
            if seat.result is not None:
                break
    return found


def _settings(policy: Policy, config: EvaluationConfig) -> dict[str, Any]:
    settings = asdict(config)
    for key in ("processes", "videos", "out"):
        del settings[key]
    if not config.env:
        del settings["env"]  # journals of our own suite do not name it
    return {**settings, "policy_hash": policy.policy_hash}


def _waves(wanted: list[EpisodeSpec], batch: int) -> list[list[EpisodeSpec]]:
    """Cut the episodes into waves; one wave holds one task, so that its episodes end together."""
    waves = []
    for task in dict.fromkeys(spec.task for spec in wanted):
        own = [spec for spec in wanted if spec.task == task]
        waves += [own[start : start + batch] for start in range(0, len(own), batch)]
    return waves


_worker: tuple[Policy, EnvironmentPool] | None = None


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch with one thread, as in every worker, so that the sums come out the same."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _start_worker(source: PolicySource, env: str) -> None:
    torch.set_num_threads(1)
    global _worker
    policy = source()
    _worker = policy, EnvironmentPool(policy, env)
    # Before the interpreter's own exit handlers, among which the graphics library's is.
    multiprocessing.util.Finalize(None, _worker[1].close, exitpriority=1)


def _run_in_worker(
    wave: list[EpisodeSpec], rollout: RolloutConfig, config: EvaluationConfig
) -> list[EpisodeResult]:
    assert _worker is not None, "the pool starts every worker with _start_worker"
    return _play(*_worker, wave, rollout, config)


def _play(
    policy: Policy,
    pool: EnvironmentPool,
    wave: list[EpisodeSpec],
    rollout: RolloutConfig,
    config: EvaluationConfig,
) -> list[EpisodeResult]:
    from vla_distill.report.watchers import EpisodeWatcher

    def watch(spec: EpisodeSpec) -> EpisodeWatcher | None:
        if config.out is None:
            return None
        return EpisodeWatcher(config.out, spec, config.shows(spec))

    return run_wave(policy, wave, pool, rollout, watch)


def _run(
    source: PolicySource,
    policy: Policy,
    todo: dict[int, list[EpisodeSpec]],
    rollout: RolloutConfig,
    config: EvaluationConfig,
) -> Iterator[tuple[int, list[EpisodeResult]]]:
    """Waves as they finish, from this process or from several."""
    if min(config.processes, len(todo)) <= 1:
        pool = EnvironmentPool(policy, config.env)
        with contextlib.closing(pool), one_thread():
            for number, wave in todo.items():
                yield number, _play(policy, pool, wave, rollout, config)
        return
    processes = min(config.processes, len(todo))
    executor = worker_pool(processes, _start_worker, source, config.env)
    try:
        jobs = {
            executor.submit(_run_in_worker, wave, rollout, config): number
            for number, wave in todo.items()
        }
        for job in as_completed(jobs):
            yield jobs[job], job.result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
