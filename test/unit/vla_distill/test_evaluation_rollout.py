"""Laws of the closed loop, with scripted policies in place of a network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vla_distill.environments.pool import EnvironmentPool
from vla_distill.environments.simulated import SimulatedArm
from vla_distill.errors import DistillError
from vla_distill.evaluation.episode import EpisodeSpec, pick_tasks, specs
from vla_distill.evaluation.evaluation import EvaluationConfig, evaluate
from vla_distill.evaluation.latency import Latency, parse
from vla_distill.evaluation.rollout import RolloutConfig, run, run_wave
from vla_policy.contract import ActionChunk, ComputeReport, Memory, Observation
from vla_sim.errors import SimulationError
from vla_sim.experts import Expert
from vla_sim.simulation import Simulation
from vla_sim.tasks import Aim, get_suite
from vla_sim.tasks.pick import Pick
from vla_sim.tasks.reach import Reach


class Wanderer:
    """A policy without a network: where it goes depends on state, instruction and seed."""

    cameras: Sequence[str] = ()
    image_size = 32
    step_dt = 0.1
    horizon = 16
    policy_hash = "wanderer"

    def __init__(self) -> None:
        self.asked: list[list[float]] = []

    def start(self, seed: int) -> Memory:
        return Memory(seed)

    def infer(
        self, observations: Sequence[Observation], memories: Sequence[Memory]
    ) -> list[ActionChunk]:
        self.asked.append([observation.stamp for observation in observations])
        return [self._one(*pair) for pair in zip(observations, memories, strict=True)]

    def _one(self, observation: Observation, memory: Memory) -> ActionChunk:
        rng = np.random.default_rng((memory.seed, memory.sequence, len(observation.instruction)))
        pose = observation.state[:7].copy()
        pose[:2] += rng.normal(0.0, 0.01, 2)
        targets = np.repeat(pose[None], self.horizon, axis=0).astype(np.float32)
        chunk = ActionChunk(
            targets,
            observation.stamp,
            self.step_dt,
            sequence=memory.sequence,
            instruction=observation.instruction,
            seed=memory.seed,
            report=ComputeReport(gflops=2.0),
        )
        memory.sequence += 1
        memory.previous = chunk
        return chunk


class Oracle(Wanderer):
    """The scripted expert behind a policy's face; sees the simulations that it is evaluated in.

    Args:
        pool: the evaluation's simulations.
        wrong: go for another object than the one asked for.
    """

    def __init__(self, wrong: bool = False) -> None:
        super().__init__()
        self.pool = EnvironmentPool(self)
        self._experts: dict[int, Expert] = {}
        self._wrong = wrong

    def _one(self, observation: Observation, memory: Memory) -> ActionChunk:
        if memory.sequence == 0:
            simulation = self._simulation(memory.seed)
            episode = simulation.episode
            other = next(name for name in episode.objects if name != episode.target)
            aim = Aim(other, episode.goal) if self._wrong else episode.aim
            self._experts[memory.seed] = Expert(simulation, np.random.default_rng(0), aim=aim)
        chunk = super()._one(observation, memory)
        pose = self._experts[memory.seed].act().astype(np.float32)
        return replace(chunk, targets=np.repeat(pose[None], self.horizon, axis=0))

    def _simulation(self, seed: int) -> Simulation:
        worlds = [one.simulation for one in self.pool.take(3) if isinstance(one, SimulatedArm)]
        return next(world for world in worlds if world.episode.seed == seed)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Episodes of two seconds, for policies that never succeed."""
    for task in (Reach, Pick):
        monkeypatch.setattr(task, "time_limit", 2.0)


def _wave(count: int, task: str = "reach") -> list[EpisodeSpec]:
    return [EpisodeSpec(task, seed) for seed in range(count)]


@pytest.mark.parametrize("task", ["reach", "pick", "place"])
def test_the_expert_as_a_policy_succeeds(task: str) -> None:
    policy = Oracle()
    # An expert looks at every step; its chunks repeat one target.
    results = run_wave(policy, _wave(3, task), policy.pool, RolloutConfig(replan_steps=1))
    assert sum(result.success for result in results) >= 2
    assert all(result.gflops == 2.0 for result in results)
    assert [result.seed for result in results] == [0, 1, 2]


@pytest.mark.parametrize("task", ["reach", "pick"])
def test_going_for_another_object_fails_as_that(task: str) -> None:
    policy = Oracle(wrong=True)
    results = run_wave(policy, _wave(2, task), policy.pool, RolloutConfig(replan_steps=1))
    assert not any(result.success for result in results)
    assert "wrong object" in {result.cause for result in results}


@pytest.mark.usefixtures("short")
def test_batched_equals_one_by_one() -> None:
    together = run(Wanderer(), ["reach", "pick"], range(3), batch=3)
    alone = run(Wanderer(), ["reach", "pick"], range(3), batch=1)
    assert together == alone
    assert len({result.progress for result in together}) > 1


@pytest.mark.usefixtures("short")
def test_doing_nothing_solves_nothing_and_is_told_so() -> None:
    results = run(Wanderer(), ["pick"], range(2))
    assert not any(result.success for result in results)
    assert {result.cause for result in results} == {"never touched"}
    assert {result.seconds for result in results} == {2.0}


@pytest.mark.usefixtures("short")
def test_swapping_keeps_the_scene_and_names_another_object() -> None:
    plain, swapped = (run(Wanderer(), ["pick"], range(2), swap=swap) for swap in (False, True))
    for one, other in zip(plain, swapped, strict=True):
        assert one.target != other.target
        assert one.instruction != other.instruction


@pytest.mark.usefixtures("short")
def test_a_chunk_is_asked_for_every_two_steps() -> None:
    policy = Wanderer()
    result = run(policy, ["reach"], [0])[0]
    stamps = np.array([stamp for batch in policy.asked for stamp in batch])
    np.testing.assert_allclose(np.diff(stamps), 0.2, atol=1e-9)
    assert result.chunks == len(stamps) == 10
    assert result.starved == 0


@pytest.mark.usefixtures("short")
def test_time_runs_on_while_the_policy_thinks() -> None:
    policy = Wanderer()
    config = RolloutConfig(latency=Latency((0.3,), "300"))
    result = run(policy, ["reach"], [0], config=config)[0]
    stamps = np.array([stamp for batch in policy.asked for stamp in batch])
    # Nothing can be done before the first chunk is there, 15 ticks of 20 ms later.
    assert result.starved == 15
    # One chunk is under way at a time, and it sees the newest picture there is.
    np.testing.assert_allclose(np.diff(stamps), 0.3, atol=1e-9)


@pytest.mark.usefixtures("short")
def test_no_latency_and_zero_latency_are_the_same() -> None:
    configs = [RolloutConfig(), RolloutConfig(latency=Latency((0.0,), "0"))]
    none, zero = (run(Wanderer(), ["reach"], [0], config=config) for config in configs)
    assert none == zero


@pytest.mark.parametrize("text", ["fast", "-1", "nan", "inf", ""])
def test_a_latency_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DistillError, match="latency"):
        parse(text, [10.0])


def test_measured_latencies_are_drawn_alike_for_the_same_chunk() -> None:
    latency = parse("measured", [10.0, 20.0, 30.0])
    draws = [latency.draw(3, sequence) for sequence in range(50)]
    assert draws == [latency.draw(3, sequence) for sequence in range(50)]
    assert {round(draw, 3) for draw in draws} == {0.01, 0.02, 0.03}


def test_training_seeds_are_refused() -> None:
    with pytest.raises(DistillError, match="evaluation seed: got 100000"):
        specs(["pick"], range(99_999, 100_001))
    with pytest.raises(DistillError, match="instructions"):
        specs(["pick"], [0], "klingon")


def test_tasks_come_from_the_suite() -> None:
    assert pick_tasks("arx5", "") == get_suite("arx5")
    assert pick_tasks("arx5", "place, reach") == ("place", "reach")
    with pytest.raises(DistillError, match="'juggle'"):
        pick_tasks("arx5", "pick,juggle")
    with pytest.raises(SimulationError, match="suite"):
        pick_tasks("arx6", "")


def _config(out: Path | None, **changes: object) -> EvaluationConfig:
    config = EvaluationConfig(tasks=("reach",), episodes=4, batch=2, out=out)
    return replace(config, **changes)


class _Interrupted(Exception):
    """Stands for a power cut."""


@pytest.mark.usefixtures("short")
def test_an_interrupted_evaluation_goes_on_to_the_same_result(tmp_path: Path) -> None:
    def cut(results: Sequence[object], total: int) -> None:
        if len(results) == 2:
            raise _Interrupted

    out = tmp_path / "run"
    with pytest.raises(_Interrupted):
        evaluate(Wanderer, _config(out), cut)
    journal = out / "episodes.jsonl"
    # The next wave was being written when the power went.
    with journal.open("a") as file:
        file.write('{"wave": 1, "epis')
    seen: list[int] = []
    resumed = evaluate(Wanderer, _config(out), lambda results, total: seen.append(len(results)))
    assert seen == [2, 4]
    whole = evaluate(Wanderer, _config(tmp_path / "whole"))
    assert resumed.results == whole.results
    again = evaluate(Wanderer, _config(out))
    assert json.dumps(again.summary()) == json.dumps(resumed.summary())


@pytest.mark.usefixtures("short")
def test_videos_of_episodes_that_were_played_come_when_they_are_asked_for(tmp_path: Path) -> None:
    first = evaluate(Wanderer, _config(tmp_path))
    journal = (tmp_path / "episodes.jsonl").read_bytes()
    assert not (tmp_path / "videos").exists()
    again = evaluate(Wanderer, _config(tmp_path, videos=1))
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "videos").iterdir()}
    assert [path.name for path in made] == ["reach_00000_failure.mp4"]
    assert again.results == first.results and (tmp_path / "episodes.jsonl").read_bytes() == journal
    evaluate(Wanderer, _config(tmp_path, videos=1))  # not once more
    assert made == {path: path.stat().st_mtime_ns for path in made}


def test_more_steps_than_a_chunk_has_are_refused() -> None:
    with pytest.raises(DistillError, match="replan_steps: got 99, expected at most"):
        evaluate(Wanderer, _config(None, replan_steps=99))


@pytest.mark.usefixtures("short")
def test_a_journal_of_another_evaluation_is_refused(tmp_path: Path) -> None:
    evaluate(Wanderer, _config(tmp_path))
    with pytest.raises(DistillError, match="seed of the evaluation"):
        evaluate(Wanderer, _config(tmp_path, seed=50))


@pytest.mark.slow
def test_processes_do_not_change_the_result() -> None:
    one, two = (evaluate(Wanderer, _config(None, processes=count)) for count in (1, 2))
    assert one.results == two.results


@pytest.mark.usefixtures("short")
def test_the_summary_has_the_fields_that_others_rely_on(tmp_path: Path) -> None:
    evaluation = evaluate(Wanderer, _config(tmp_path, videos=1))
    summary = evaluation.summary()
    assert summary["mean_success"] == 0.0
    (task,) = summary["tasks"]
    assert {"name", "success", "low", "high", "episodes"} <= task.keys()
    assert task["low"] == 0.0 < task["high"] < 0.6
    assert {"median", "p95", "p99"} <= summary["ms_per_chunk"].keys()
    assert summary["gflops_per_chunk"] == 2.0
    assert [one["seed"] for one in summary["episodes"]] == [0, 1, 2, 3]
    names = sorted(path.name for path in (tmp_path / "videos").iterdir())
    assert names == ["reach_00000_failure.mp4"]
    assert len(list((tmp_path / "failures").iterdir())) == 4
    won = [replace(one, success=one.seed > 1) for one in evaluation.results]
    results = [*won, replace(won[0], task="pick")]
    assert replace(evaluation, results=results).outcomes == {"reach": "0011", "pick": "0"}
