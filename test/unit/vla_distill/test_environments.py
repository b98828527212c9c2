"""Laws of Gymnasium environments: from a description to demonstrations, a policy, and its score."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_environment
import torch
import yaml
from scipy.spatial.transform import Rotation

from vla_distill.cli import accelerate as accelerate_cli
from vla_distill.cli import collect as collect_cli
from vla_distill.cli import eval as eval_cli
from vla_distill.cli import train as train_cli
from vla_distill.cli.benches import data as bench_data
from vla_distill.collect import collect
from vla_distill.collection.config import CollectConfig
from vla_distill.collection.environment_demonstration import EnvironmentDemonstrator
from vla_distill.dataset import Dataset, DatasetError
from vla_distill.dataset.check import check
from vla_distill.dataset.source import open_frames
from vla_distill.environments.box_action import ANCHORS, BoxAction
from vla_distill.environments.description import EnvironmentDescription, load_description
from vla_distill.environments.errors import AdapterError
from vla_distill.environments.gymnasium_arm import ENDED, GymnasiumArm
from vla_distill.environments.pool import EnvironmentPool
from vla_distill.errors import DistillError
from vla_distill.evaluation.cause import TIMED_OUT
from vla_distill.evaluation.episode import EpisodeSpec
from vla_distill.evaluation.evaluation import EvaluationConfig, evaluate
from vla_distill.ftncfm.errors import DataDistillationError
from vla_distill.ftncfm.gradients import Guide
from vla_distill.training.config import TrainConfig
from vla_distill.training.trainer import Trainer
from vla_policy.checkpoint import load_policy, save_policy
from vla_policy.contract import ActionChunk, Memory, Observation
from vla_policy.errors import PolicyError
from vla_policy.model.policy import VlaPolicy
from vla_policy.player import ChunkPlayer
from vla_policy.robot import see_robot
from vla_sim.constants import STEP_DT

ENV = "tiny_environment:describe"
SEED = 1_000_000
HORIZON = 16
FOLDER = Path(__file__).parent


def solves_again(
    description: EnvironmentDescription, task: str, seed: int, actions: np.ndarray
) -> bool:
    """Whether a demonstration's labels, played in chunks as a policy's would be, do the task."""
    arm, player = GymnasiumArm(description), ChunkPlayer()
    arm.reset(EpisodeSpec(task, seed))
    player.reset(arm.commanded())
    success = False
    for step in range(len(actions) + 3):
        rows = np.minimum(np.arange(step, step + HORIZON), len(actions) - 1)
        player.add(ActionChunk(actions[rows], arm.sense(), STEP_DT, sequence=step))
        for _ in range(description.ticks):
            if not arm.status().success and not arm.status().ended:
                arm.act(player.sample(arm.sense()), None)
        success = success or arm.status().success
    arm.close()
    return success


class Seeing:
    """A policy without a network: goes for what is green in the picture, then closes."""

    cameras: Sequence[str] = ("front",)
    image_size = tiny_environment.SIZE
    step_dt = STEP_DT
    horizon = HORIZON
    policy_hash = "seeing"

    def start(self, seed: int) -> Memory:
        return Memory(seed)

    def infer(
        self, observations: Sequence[Observation], memories: Sequence[Memory]
    ) -> list[ActionChunk]:
        return [self._one(*pair) for pair in zip(observations, memories, strict=True)]

    def _one(self, observation: Observation, memory: Memory) -> ActionChunk:
        rows, columns = np.nonzero((observation.images["front"] == (0, 255, 0)).all(2))
        pose = observation.state[:7].copy()
        if len(rows):
            place = np.array([columns.mean(), rows.mean()]) / (tiny_environment.SIZE - 1)
            pose[:2] = (2 * place - 1) * tiny_environment.REACH
        # The picture does not tell the height: sweep it.
        pose[2] = 0.05 * np.sin(memory.sequence)
        pose[6] = 0.0
        memory.sequence += 1
        targets = np.repeat(pose[None], HORIZON, axis=0)
        return ActionChunk(targets, observation.stamp, STEP_DT, sequence=memory.sequence)


class Idle(Seeing):
    """Stays where it is."""

    policy_hash = "idle"

    def _one(self, observation: Observation, memory: Memory) -> ActionChunk:
        memory.sequence += 1
        targets = np.repeat(observation.state[None, :7], HORIZON, axis=0)
        return ActionChunk(targets, observation.stamp, STEP_DT, sequence=memory.sequence)


# The Box


@pytest.mark.parametrize("anchor", ANCHORS)
@pytest.mark.parametrize("rotation", [(), (3, 4, 5)])
def test_numbers_are_the_inverse_of_a_pose(anchor: str, rotation: tuple[int, ...]) -> None:
    box = BoxAction(0.02, anchor, (2, 1, 0), rotation, 0.3, 6, -1.0, 1.0)
    rng = np.random.default_rng(0)
    for _ in range(50):
        start = np.append(rng.normal(0.0, 0.4, 6), 0.05)
        numbers = np.append(rng.uniform(-1, 1, 7), 0.0)
        numbers[3:6] *= bool(rotation)
        pose = box.pose(numbers, start)
        np.testing.assert_allclose(box.numbers(pose, start, 8), numbers, atol=1e-9)
        origin = np.zeros(3) if anchor == "base" else start[:3]
        np.testing.assert_allclose(pose[:3] - origin, 0.02 * numbers[[2, 1, 0]])
        if not rotation:
            np.testing.assert_array_equal(pose[3:6], start[3:6])


def test_a_turn_is_about_the_axes_of_the_base() -> None:
    box = BoxAction(0.01, rotation=(3, 4, 5), rotation_scale=0.5)
    start = np.array([0.0, 0, 0, *Rotation.from_euler("y", 1.2).as_rotvec(), 0])
    pose = box.pose(np.array([0.0, 0, 0, 0, 0, 1.0]), start)
    expected = Rotation.from_euler("z", 0.5) * Rotation.from_rotvec(start[3:6])
    np.testing.assert_allclose(pose[3:6], expected.as_rotvec())


def test_the_gripper_is_open_and_closed_where_the_description_says() -> None:
    box = BoxAction(0.01, gripper=3, gripper_open=-1.0, gripper_closed=1.0, gripper_width=0.1)
    openings = [box.pose(np.array([0, 0, 0, g]), np.zeros(7))[6] for g in (-1.0, 0.0, 1.0, 5.0)]
    np.testing.assert_allclose(openings, [0.1, 0.05, 0.0, 0.0])


@pytest.mark.parametrize("anchor", ANCHORS)
def test_drift_shifts_by_as_much_as_it_says(anchor: str) -> None:
    box, offset = BoxAction(0.02, anchor), np.array([0.01, -0.02, 0.03, 0, 0, 0])
    pose = np.zeros(7)
    for _ in range(4):
        pose = box.pose(box.drift(offset, 4, 3), pose)
    np.testing.assert_allclose(pose[:3], offset[:3])


# Descriptions that do not fit


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("juggling", "'juggling'.*module:factory, or one of .'metaworld'"),
        ("no_such_module:describe", "no_such_module"),
        ("tiny_environment:no_such_name", "a callable no_such_name in tiny_environment"),
        ("tiny_environment:describe_nothing", "got str, expected a description"),
        ("tiny_environment:describe_without_expert", "expert of button: got none"),
        ("tiny_environment:describe_buttons", "action space: got Discrete.*expected a Box"),
        ("tiny_environment:describe_narrow", "action space.*expected a Box of 4 numbers or more"),
        ("tiny_environment:describe_lost", "measured: got .*nan.*expected 7 finite numbers"),
        ("tiny_environment:describe_two_cameras", "images: got .'front'.*camera 'wrist'"),
    ],
)
def test_what_does_not_fit_its_description_is_named(tmp_path: Path, env: str, message: str) -> None:
    wanted = CollectConfig(tmp_path / "set", env=env, episodes=1, processes=1)
    with pytest.raises(AdapterError, match=message):
        collect(wanted, progress=False)
    assert not (tmp_path / "set").exists()


def test_tasks_and_seeds_are_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"task of button: got up, expected \['left', 'right'\]"):
        collect(CollectConfig(tmp_path / "set", env=ENV, tasks="up"), progress=False)
    with pytest.raises(DistillError, match=r"seed.*1000000"):
        collect(CollectConfig(tmp_path / "set", env=ENV, seed=99_999), progress=False)
    with pytest.raises(DistillError, match="evaluation seed: got 1000000"):
        evaluate(Idle, EvaluationConfig(("left",), ENV, episodes=1, seed=SEED))
    with pytest.raises(DistillError, match="one sentence a task"):
        evaluate(Idle, EvaluationConfig(("left",), ENV, episodes=1, swap=True))


def test_a_policy_with_other_cameras_is_refused() -> None:
    class TwoEyed(Idle):
        cameras = ("front", "wrist")

    with pytest.raises(AdapterError, match=r"cameras of button: .*which the policy was trained"):
        evaluate(TwoEyed, EvaluationConfig(("left",), ENV, episodes=1))


# Demonstrations


@pytest.mark.parametrize("factory", ["describe", "describe_steered"])
@pytest.mark.parametrize("task", ["left", "right"])
def test_recorded_actions_solve_the_task_again(factory: str, task: str) -> None:
    description = load_description(f"tiny_environment:{factory}")
    shown = EnvironmentDemonstrator(description, noise=0.0).run(task, SEED + 3)
    assert shown.success and not shown.frames.disturbance.any()
    assert solves_again(description, task, SEED + 3, shown.frames.action)
    still = np.repeat(shown.frames.action[:1], len(shown.frames), axis=0)
    assert not solves_again(description, task, SEED + 3, still)


def test_a_demonstration_is_a_function_of_task_and_seed() -> None:
    demonstrator = EnvironmentDemonstrator(tiny_environment.describe())
    first = [demonstrator.run(task, SEED + 5) for task in ("left", "right")]
    again = [demonstrator.run(task, SEED + 5) for task in ("right", "left")]
    for one, other in zip(first, reversed(again), strict=True):
        for name in ("state", "action", "disturbance"):
            np.testing.assert_array_equal(getattr(one.frames, name), getattr(other.frames, name))


def test_drift_moves_the_hand_and_not_the_label() -> None:
    demonstrator, offset = EnvironmentDemonstrator(tiny_environment.describe()), np.zeros(6)
    arm, expert = demonstrator.arm, tiny_environment.press("left")
    offset[1] = 0.01  # across the expert's way, so that it fits into the Box
    arm.reset(EpisodeSpec("left", SEED))
    label = demonstrator.advance(expert, offset)
    np.testing.assert_allclose(arm.commanded()[:3] - label[:3], offset[:3], atol=1e-9)
    label = demonstrator.advance(expert, None)
    np.testing.assert_array_equal(label, arm.commanded())


def test_the_expert_recovers_from_drift() -> None:
    demonstrator = EnvironmentDemonstrator(tiny_environment.describe(), noise=1.0)
    runs = [demonstrator.run("left", SEED + n) for n in range(12)]
    assert sum(run.success for run in runs) >= 10
    drifted = [run.frames for run in runs if run.frames.noise == "drift"]
    assert len(drifted) >= 3
    assert all(set(frames.disturbance) <= {0, 1} for frames in drifted)
    assert all(frames.disturbance.any() for frames in drifted)


# The whole way


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "button"
    words = ["--env", ENV, "--out", str(out), "--episodes", "3", "--processes", "1"]
    assert collect_cli.run(words) == 0
    return out


def test_collected_data_say_what_they_are(dataset: Path) -> None:
    faults, summary = check(dataset, progress=False)
    assert not faults and summary["episodes"] == {"left": 3, "right": 3}
    data = Dataset(dataset)
    assert data.robot == "gymnasium/button" and data.cameras == ("front",)
    assert {record.seed for record in data.episodes} >= {SEED, SEED + 1}
    assert min(record.seed for record in data.episodes) >= SEED
    assert data.instructions == ["press the button on the left", "press the button on the right"]
    picture = data.episode(0).images["front"][0].astype(int)
    column, row = (picture[..., 1] - picture[..., 0]).argmax() % 32, picture[..., 1].argmax() // 32
    assert column < 16 and row < 32 and picture[..., 1].max() > 200  # the button, on the left
    noted = json.loads((dataset / "meta/collection.json").read_text())["collection"]
    assert noted["env"] == ENV and noted["disturbance"]["error_share"] == 0.0


def test_a_collection_that_is_complete_is_left_alone(dataset: Path) -> None:
    before = (dataset / "summary.json").read_text()
    summary = collect(CollectConfig(dataset, env=ENV, episodes=3, processes=1), progress=False)
    assert summary == json.loads(before)
    with pytest.raises(DatasetError, match="another dataset"):
        collect(CollectConfig(dataset, env=ENV, episodes=3, noise=0.5), progress=False)


def test_demonstrations_become_a_policy_and_a_score(dataset: Path, tmp_path: Path) -> None:
    config = tmp_path / "train.yaml"
    words = {"preset": "test", "steps": 2, "batch": 4, "warmup": 1, "precision": "no"}
    words |= {"data": str(dataset), "out": str(tmp_path / "run"), "threads": 1, "log_every": 1}
    config.write_text(yaml.safe_dump(words))
    assert train_cli.main(train_cli.Arguments(str(config))) == 0
    rows = [json.loads(x) for x in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert len(rows) == 2 and all(np.isfinite(row["loss"]) for row in rows)
    assert "scene" not in rows[0]  # only our own simulator's seeds tell what is where
    assert load_policy(str(tmp_path / "run/policy")).cameras == ("front",)

    file = tmp_path / "result.json"
    arguments = eval_cli.Arguments(
        policy=str(tmp_path / "run/policy"), env=ENV, episodes=2, seed=5, processes=1,
        out=tmp_path / "eval", videos=1, json=file,
    )  # fmt: skip
    assert eval_cli.main(arguments) == 0
    record = json.loads(file.read_text())
    assert record["env"] == ENV and "suite" not in record
    assert [task["name"] for task in record["tasks"]] == ["left", "right"]
    for task in record["tasks"]:
        assert 0.0 <= task["low"] <= task["success"] <= task["high"] <= 1.0
        assert task["episodes"] == 2
    assert [one["seed"] for one in record["episodes"]] == [5, 6, 5, 6]
    assert len(list((tmp_path / "eval/videos").iterdir())) == 2


def test_a_policy_moves_no_other_robot(dataset: Path, tmp_path: Path) -> None:
    made = {}
    for robot in ("", "arx5", "gymnasium/button"):
        policy = VlaPolicy.random()
        policy.statistics = replace(policy.statistics, robot=robot)
        made[robot] = save_policy(policy, tmp_path / f"of_{robot.replace('/', '_')}")
        assert load_policy(made[robot]).statistics.robot == robot
    frames, _ = open_frames([dataset], progress=False)
    train = {"preset": "test", "steps": 2, "batch": 4, "precision": "no", "data": str(dataset)}

    def uses(folder: Path) -> list[Callable[[], object]]:
        """Of somebody else's data and environment."""
        recipe = accelerate_cli.Arguments(folder, "few_steps", tmp_path / "fast", dataset, 2)
        init = TrainConfig(**train, init=str(folder), out=str(tmp_path / "run"), threads=1)
        return [
            lambda: EnvironmentPool(load_policy(folder), ENV),
            lambda: accelerate_cli.main(recipe),
            lambda: Guide.load(folder, frames),
            lambda: Trainer(init, frames),
        ]

    for use in uses(made["arx5"]):
        with pytest.raises(PolicyError, match="robot of the policy: got arx5, expected gymnasium"):
            use()
    with pytest.raises(PolicyError, match="got gymnasium/button, expected arx5"):
        EnvironmentPool(load_policy(made["gymnasium/button"]))
    see_robot(load_policy(made[""]), "arx5")  # of before


@pytest.mark.slow
def test_a_table_of_data_is_made_in_somebody_elses_environment(
    dataset: Path, tmp_path: Path
) -> None:
    config = tmp_path / "train.yaml"
    words = {"preset": "test", "batch": 4, "warmup": 1, "precision": "no", "threads": 1}
    words |= {"data": str(dataset), "out": str(tmp_path / "teacher"), "steps": 2}
    config.write_text(yaml.safe_dump(words))
    assert train_cli.main(train_cli.Arguments(str(config))) == 0
    arguments = bench_data.Data(
        data=dataset, config=config, steps=20, env=ENV, arms="random_soft,weighted_real", ratio=0.2,
        seeds="3", episodes=2, processes=1, work=tmp_path / "work", json=tmp_path / "table.json",
        docs=tmp_path, teacher=str(tmp_path / "teacher/policy"),
    )  # fmt: skip
    assert bench_data.main(arguments) == 0
    record = json.loads((tmp_path / "table.json").read_text())
    assert record["env"] == ENV and record["tasks"] == ["left", "right"]
    assert [row["arm"] for row in record["rows"]] == ["random_soft", "weighted_real"]
    soft, recorded = (row["lean"]["mm"] for row in record["rows"])
    assert soft < recorded  # the labels are the teacher's own
    assert {len(wins) for row in record["rows"] for wins in row["outcomes"].values()} == {2}
    assert f"evaluated in `{ENV}`" in (tmp_path / "table.md").read_text()
    logs = {path: path.read_bytes() for path in (tmp_path / "work/runs").glob("*/train/log.jsonl")}
    fresh = replace(arguments, first_seed=50, json=tmp_path / "fresh.json")
    assert bench_data.main(fresh) == 0 and len(logs) == 2
    assert logs == {path: path.read_bytes() for path in logs}  # evaluated only, on other scenes
    again = json.loads((tmp_path / "fresh.json").read_text())
    assert again["first_seed"] == 50 and record["first_seed"] == 0
    assert json.loads((tmp_path / "table.json").read_text()) == record
    with pytest.raises(AdapterError, match="task of button: got pick"):
        bench_data.main(replace(arguments, tasks="pick"))
    with pytest.raises(DataDistillationError, match="teacher of random_soft: got none"):
        bench_data.main(replace(arguments, teacher=""))


def test_data_of_two_robots_are_not_mixed(dataset: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    collect(
        CollectConfig(
            other, env="tiny_environment:describe", tasks="left", episodes=1, processes=1
        ),
        progress=False,
    )
    frames, seeds = open_frames([dataset, other], progress=False)
    assert len(seeds) == 7 and (seeds == -1).all() and frames.robot == "gymnasium/button"
    info = json.loads((other / "meta/info.json").read_text())
    (other / "meta/info.json").write_text(json.dumps(info | {"robot_type": "arx5"}))
    with pytest.raises(DatasetError, match=r"robot arx5.*robot gymnasium/button"):
        open_frames([dataset, other], progress=False)


# Evaluation


def test_a_policy_that_sees_succeeds_and_one_that_waits_does_not(tmp_path: Path) -> None:
    config = EvaluationConfig(("left", "right"), ENV, episodes=5, batch=5)
    seeing = evaluate(Seeing, config).summary()
    assert seeing["mean_success"] >= 0.8 and seeing["low"] > 0.4
    idle = evaluate(Idle, config)
    assert idle.summary()["mean_success"] == 0.0
    # The environment truncates after 60 steps, which are the time limit too.
    assert {result.cause for result in idle.results} <= {TIMED_OUT, ENDED}
    assert {result.seconds for result in idle.results} == {3.0}


class _Interrupted(Exception):
    """Stands for a power cut."""


def test_an_interrupted_evaluation_goes_on_to_the_same_result(tmp_path: Path) -> None:
    def cut(results: Sequence[object], total: int) -> None:
        if len(results) == 2:
            raise _Interrupted

    def config(out: Path) -> EvaluationConfig:
        return EvaluationConfig(("left",), ENV, episodes=4, batch=2, out=out)

    with pytest.raises(_Interrupted):
        evaluate(Seeing, config(tmp_path / "cut"), cut)
    resumed = evaluate(Seeing, config(tmp_path / "cut"))
    assert resumed.results == evaluate(Seeing, config(tmp_path / "whole")).results
    with pytest.raises(DistillError, match="env of the evaluation"):
        evaluate(
            Seeing,
            EvaluationConfig(("left",), f"{ENV}_steered", 4, batch=2, out=tmp_path / "cut"),
        )


@pytest.mark.slow
def test_a_killed_collection_goes_on_to_the_same_dataset(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    path = os.pathsep.join([str(FOLDER), *sys.path])
    words = ["collect", "--env", ENV, "--out", str(out), "--episodes", "3", "--processes", "1"]
    command = [sys.executable, "-m", "vla_distill.cli.main", *words]
    child = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": path}, start_new_session=True
    )
    partial, until = out.with_name("killed.partial"), time.monotonic() + 120.0
    while not any(partial.glob("*-1000*/episode.json")):
        assert time.monotonic() < until and child.poll() is None, "no episode was written"
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if not out.exists():  # a fast machine may have been done already
        assert partial.is_dir()
        assert collect_cli.run(words[1:]) == 0
    assert Dataset(out).content_hash == Dataset(dataset).content_hash


# Meta-World


@pytest.fixture(scope="module")
def metaworld() -> EnvironmentDescription:
    pytest.importorskip("metaworld", reason="metaworld has an environment of its own")
    return load_description("metaworld")


def test_without_metaworld_its_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "metaworld", None)
    monkeypatch.setitem(sys.modules, "metaworld.env_dict", None)
    with pytest.raises(AdapterError, match=r"package metaworld.*make metaworld"):
        load_description("metaworld")


def test_metaworld_tasks_have_sentences_from_their_names(
    metaworld: EnvironmentDescription,
) -> None:
    assert len(metaworld.tasks) >= 5
    assert metaworld.tasks["drawer-open"] == "open the drawer"
    assert len(set(metaworld.tasks.values())) == len(metaworld.tasks)


@pytest.mark.slow
@pytest.mark.parametrize(
    "task", ["reach", "push", "pick-place", "drawer-open", "button-press-topdown", "window-close"]
)
def test_metaworld_demonstrations_solve_their_task_again(
    metaworld: EnvironmentDescription, task: str
) -> None:
    demonstrator = EnvironmentDemonstrator(metaworld, noise=0.0)
    shown = demonstrator.run(task, SEED)
    demonstrator.close()
    assert shown.success and np.abs(np.diff(shown.frames.images["front"].mean((1, 2, 3)))).max() > 0
    assert solves_again(metaworld, task, SEED, shown.frames.action)


@pytest.mark.slow
def test_a_network_is_evaluated_in_metaworld(
    metaworld: EnvironmentDescription, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    policy = save_policy(VlaPolicy.random("test"), tmp_path / "policy")
    arguments = eval_cli.Arguments(
        policy=str(policy), env="metaworld", tasks="drawer-close", episodes=1, processes=1,
        json=tmp_path / "result.json",
    )  # fmt: skip
    assert eval_cli.main(arguments) == 0
    (task,) = json.loads((tmp_path / "result.json").read_text())["tasks"]
    assert task["name"] == "drawer-close" and task["low"] <= task["success"] <= task["high"]
