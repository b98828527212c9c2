"""Laws of the training loop, on a handful of made-up frames."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_workers import runs, wait_for

from vla_distill.dataset import DatasetError, FrameStore
from vla_distill.dataset.store import NO_ERROR
from vla_distill.errors import DistillError
from vla_distill.training.config import OPTIMIZERS, TrainConfig
from vla_distill.training.curve import training_seconds
from vla_distill.training.samples import Samples
from vla_distill.training.scenes import Scenes
from vla_distill.training.trainer import Trainer
from vla_policy.checkpoint import load_policy, save_policy
from vla_policy.errors import PolicyError
from vla_policy.model.config import preset
from vla_policy.model.policy import VlaPolicy
from vla_sim.constants import CAMERAS
from vla_sim.simulation import Simulation


def frames(episodes: int = 10, length: int = 8) -> FrameStore:
    rng = np.random.default_rng(0)
    count = episodes * length
    pose = np.array([0.3, 0, 0.2, 0, 1.57, 0])
    state = np.concatenate(
        [pose + 0.05 * rng.normal(size=(count, 6)), np.full((count, 2), 0.08)], 1
    )
    action = np.concatenate([state[:, :6] + 0.01 * rng.normal(size=(count, 6)), state[:, 7:]], 1)
    return FrameStore(
        images=rng.integers(0, 256, (count, 2, 32, 32, 3), np.uint8),
        state=state.astype(np.float32),
        action=action.astype(np.float32),
        keypoints=rng.normal(0.2, 0.1, (count, 6)).astype(np.float32),
        disturbance=np.zeros(count, np.int64),
        episode_index=np.repeat(np.arange(episodes), length),
        frame_index=np.tile(np.arange(length), episodes),
        last_index=np.repeat(np.arange(episodes) * length + length - 1, length),
        instruction_index=np.arange(count) % 2,
        error_index=np.full(count, NO_ERROR),
        instructions=["pick up the red cube", "touch the blue cube"],
        tasks=["pick"] * episodes,
        cameras=("front", "wrist"),
        content_hash="made up",
    )


def config(out: Path, **changes) -> TrainConfig:
    values = {
        "data": "made up",
        "out": str(out),
        "preset": "test",
        "steps": 6,
        "batch": 4,
        "log_every": 1,
        "save_every": 3,
        "warmup": 1,
        "held_out": 0.2,
        "precision": "no",
        "threads": 1,
    }
    return TrainConfig(**{**values, **changes})


def rows(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "samples_per_second"} for row in lines]


def test_a_run_leaves_a_policy_a_log_and_a_picture(tmp_path: Path) -> None:
    Trainer(config(tmp_path / "run"), frames()).run()
    policy = load_policy(tmp_path / "run" / "policy")
    assert policy.horizon == 16
    assert [row["step"] for row in rows(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]
    assert "held_out_velocity" in rows(tmp_path / "run")[-1]
    assert (tmp_path / "run" / "curve.png").stat().st_size > 1000


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, optimizer: str) -> None:
    Trainer(config(tmp_path / "whole", optimizer=optimizer), frames()).run()
    trainer = Trainer(config(tmp_path / "parts", optimizer=optimizer), frames())
    trainer._resume()
    while trainer.step < 3:
        trainer.optimise()
        trainer.step += 1
    (tmp_path / "parts" / "log.jsonl").write_text("")
    trainer._save_state()
    Trainer(config(tmp_path / "parts", optimizer=optimizer), frames()).run()
    whole, parts = (
        (tmp_path / name / "policy" / "model.safetensors").read_bytes()
        for name in ("whole", "parts")
    )
    assert whole == parts
    assert rows(tmp_path / "whole")[3:] == rows(tmp_path / "parts")


@pytest.mark.parametrize("killed_in", ["_write", "_save_state"])
def test_a_run_that_is_killed_while_it_saves_ends_as_it_would_have(
    tmp_path: Path, monkeypatch, killed_in: str
) -> None:
    """At its last save: then the policy must not be left as it was before."""
    Trainer(config(tmp_path / "whole"), frames()).run()
    done = getattr(Trainer, killed_in)

    def killed(trainer: Trainer) -> None:
        if trainer.step == trainer.config.steps:
            raise KeyboardInterrupt
        done(trainer)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, killed_in, killed)
        Trainer(config(tmp_path / "parts"), frames()).run()
    Trainer(config(tmp_path / "parts"), frames()).run()
    whole, parts = (
        (tmp_path / name / "policy" / "model.safetensors").read_bytes()
        for name in ("whole", "parts")
    )
    assert whole == parts
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")


def test_what_a_run_without_a_state_logged_does_not_stay(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1, "velocity": 9.0}\n')
    Trainer(config(tmp_path), frames()).run()
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_a_log_that_was_cut_off_does_not_stop_the_run(tmp_path: Path) -> None:
    Trainer(config(tmp_path), frames()).run()
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 7, "vel')
    Trainer(config(tmp_path, steps=8), frames()).run()
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_file_that_lacks_what_has_no_default_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("steps: 5\n")
    with pytest.raises(DistillError, match="no data, out"):
        TrainConfig.read(tmp_path / "run.yaml")


@pytest.mark.parametrize("unknown", [0.0, np.nan], ids=["of a bag", "of another's dataset"])
def test_where_nobody_knows_what_is_where_the_pointers_are_left_alone(tmp_path, unknown) -> None:
    known = frames()
    blind = replace(known, keypoints=np.full_like(known.keypoints, unknown))
    Trainer(config(tmp_path), blind).run()
    for row in rows(tmp_path):
        assert row["grounding_cm"] == 0.0
        assert row["loss"] == pytest.approx(row["velocity"])


def test_another_configuration_does_not_resume(tmp_path: Path) -> None:
    Trainer(config(tmp_path), frames()).run()
    with pytest.raises(DistillError, match="learning_rate"):
        Trainer(config(tmp_path, learning_rate=0.5), frames()).run()


def test_fewer_steps_than_are_done_are_refused_and_change_nothing(tmp_path: Path) -> None:
    Trainer(config(tmp_path), frames()).run()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(DistillError, match="steps: got 4, expected at least the 6"):
        Trainer(config(tmp_path, steps=4), frames()).run()
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    Trainer(config(tmp_path), frames()).run()  # all is done


def test_another_content_of_the_same_folders_does_not_resume(tmp_path: Path) -> None:
    """Neither to go on nor, at the end, to find that all is done."""
    run, init = tmp_path / "run", tmp_path / "init"
    save_policy(VlaPolicy.random(), init)
    settings, other = config(run, init=str(init)), replace(frames(), content_hash="another")
    Trainer(settings, frames()).run()
    with pytest.raises(DistillError, match=r"data \['made up'\]: got other content.*remove"):
        Trainer(settings, other).run()
    save_policy(VlaPolicy.random(seed=1), init)
    with pytest.raises(DistillError, match=f"init {init}: got other content"):
        Trainer(settings, frames()).run()
    (run / "sources.json").unlink()  # a run of before they were noted
    Trainer(settings, other).run()


def test_a_second_training_is_kept_away(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(DistillError, match="one at a time"):
            Trainer(config(tmp_path), frames()).run()
    Trainer(config(tmp_path), frames()).run()


LAUNCH = """
import sys
from vla_distill.training.launch import launch
sys.executable = sys.argv[1]
launch("train", {"out": sys.argv[2]}, 1)
"""
TRAIN = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_training import Trainer, config, frames
Path(sys.argv[2]).with_suffix(".pid").write_text(str(os.getpid()))
Trainer(config(Path(sys.argv[2]), steps=10**9), frames()).run()
"""


@pytest.mark.slow
def test_a_training_ends_with_the_process_that_launched_it(tmp_path: Path) -> None:
    """Also one that was started by another, as torchrun does."""
    out, python = tmp_path / "run", tmp_path / "python"
    (tmp_path / "train.py").write_text(TRAIN)
    words = f"{sys.executable} {tmp_path / 'train.py'} {Path(__file__).parent} {out}"
    python.write_text(f"#!/bin/sh\n{words}\nexit 1\n")
    python.chmod(0o755)
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCH, str(python), str(out)])
    assert wait_for((out / "log.jsonl").is_file, 120.0)
    trainer = int(out.with_suffix(".pid").read_text())
    assert runs(trainer)
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.wait()
    if not (ended := wait_for(lambda: not runs(trainer))):
        os.kill(trainer, signal.SIGKILL)
    assert ended


def test_more_words_than_the_network_knows_are_refused(tmp_path: Path) -> None:
    many = replace(frames(), instructions=[" ".join(f"word{i}" for i in range(600)), "touch"])
    with pytest.raises(DistillError, match=r"words of .*: got 603,.*at most 512"):
        Trainer(config(tmp_path), many)


def test_sentences_that_are_cut_are_counted(tmp_path: Path) -> None:
    long = replace(frames(), instructions=["touch the blue cube", " ".join(["very"] * 25)])
    with pytest.warns(UserWarning, match="1 of 2 sentences are longer than 24 tokens"):
        Trainer(config(tmp_path), long)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_one_batch_can_be_overfitted(tmp_path: Path, optimizer: str) -> None:
    few = frames(episodes=1, length=4)
    settings = config(
        tmp_path, steps=300, batch=4, held_out=0.0, log_every=50, save_every=300, brightness=0.0,
        contrast=0.0, learning_rate=3e-3, optimizer=optimizer,
    )  # fmt: skip
    Trainer(settings, few).run()
    log = rows(tmp_path)
    assert log[-1]["grounding_cm"] < 0.2 * log[0]["grounding_cm"]
    assert log[-1]["velocity"] < 0.5 * log[0]["velocity"]


def test_chunks_end_with_their_episode() -> None:
    made = frames(episodes=3, length=5)
    samples = Samples(made, horizon=16, held_out=0.0, seed=0)
    chunk = samples._chunks(np.array([3]))[0]
    np.testing.assert_array_equal(chunk[0], made.action[3].astype(np.float64))
    np.testing.assert_array_equal(chunk[1:], np.tile(made.action[4].astype(np.float64), (15, 1)))


def test_held_out_episodes_are_never_trained_on() -> None:
    made = frames()
    samples = Samples(made, horizon=16, held_out=0.3, seed=0)
    seen = made.episode_index[np.concatenate([samples.draw(s, 32, 0) for s in range(50)])]
    held = made.episode_index[samples.held_out]
    assert len(set(held)) == 3 and not set(held) & set(seen)


@pytest.mark.parametrize("held_out", [0.0, 0.4])
def test_only_the_tasks_that_are_wanted_are_learned(held_out: float) -> None:
    made = frames()
    made = replace(made, tasks=["pick", "place"] * (len(made.tasks) // 2))
    samples = Samples(made, horizon=16, held_out=held_out, seed=0, tasks=["place"])
    used = np.concatenate([samples.training, samples.held_out])
    of_frame = np.array(made.tasks)[made.episode_index]
    np.testing.assert_array_equal(np.sort(used), np.flatnonzero(of_frame == "place"))
    assert bool(len(samples.held_out)) == bool(held_out)
    with pytest.raises(PolicyError, match=r"tasks: got \['fly'\].*'pick', 'place'"):
        Samples(made, horizon=16, held_out=0.0, seed=0, tasks=["fly", "pick"])


def test_the_time_of_a_run_is_that_of_its_steps(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"batch": 8}')
    rows = [{"step": 10, "samples_per_second": 20.0}, {"step": 15, "samples_per_second": 40.0}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "log.jsonl").write_text(lines + '{"step": 20, "samp')  # was killed
    assert training_seconds(tmp_path) == pytest.approx(10 * 8 / 20 + 5 * 8 / 40)


def test_bad_configurations_are_named(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("data: a\nout: b\nlearningrate: 3\n")
    with pytest.raises(DistillError, match="learningrate"):
        TrainConfig.read(path)
    with pytest.raises(DistillError, match="no file"):
        TrainConfig.read(tmp_path / "none.yaml")
    with pytest.raises(DistillError, match="steps"):
        config(tmp_path, steps=0)


@pytest.mark.parametrize("content", [b"data: [a\n", b"\xff\xfe\x00", b"data: \x00"])
def test_a_file_that_is_no_yaml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "train.yaml"
    path.write_bytes(content)
    with pytest.raises(DistillError, match=r"(?s)train\.yaml: got .*expected a YAML file"):
        TrainConfig.read(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scene_weight", -1.0),
        ("scene_weight", np.nan),
        ("grounding_weight", -1.0),
        ("learning_rate", -1.0),
        ("learning_rate", 0.0),
        ("gradient_clip", 0.0),
        ("held_out", 1.0),
        ("held_out", -0.1),
        ("ema", 1.5),
        ("decay", 2.0),
        ("brightness", -0.1),
        ("weight_decay", np.inf),
        ("warmup", -1),
        ("threads", -2),
        ("seed", -1),
        ("seed", 2**32),
    ],
)
def test_numbers_out_of_range_are_named(tmp_path: Path, name: str, value: float) -> None:
    with pytest.raises(DistillError, match=f"^{name}: got {value}, expected"):
        config(tmp_path, **{name: value})


def test_an_episode_is_left_to_train_on() -> None:
    with pytest.raises(PolicyError, match=r"held_out: got 0\.9, all of 2 episodes"):
        Samples(frames(episodes=2), horizon=16, held_out=0.9, seed=0)


def test_numbers_of_a_file_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(
        "data: a\nout: b\nlearning_rate: 1e-3\nsteps: 5e3\ndecay: 1\nthin: 0.5\n"
        "thin_order: ['1', 0]\ninit:\n"
    )
    read = TrainConfig.read(path)
    assert (read.learning_rate, read.steps, read.decay, read.init) == (1e-3, 5000, 1.0, "")
    assert read.thin_order == [1, 0] and type(read.steps) is int and type(read.decay) is float


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("learning_rate: fast", "learning_rate: got 'fast', expected float"),
        ("steps: 2.5", "steps: got 2.5, expected int"),
        ("steps: true", "steps: got True, expected int"),
        ("keep_policies: 1", "keep_policies: got 1, expected bool"),
        ("preset: 3", "preset: got 3, expected str"),
        ("tasks: pick", r"tasks: got 'pick', expected list\[str\]"),
        ("thin_order: [0, deep]", r"thin_order: got \[0, 'deep'\], expected list\[int\]"),
        ("init: {}", r"init: got \{\}, expected str"),
    ],
)
def test_a_value_of_another_type_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(f"data: a\nout: b\n{line}\n")
    with pytest.raises(DistillError, match=message):
        TrainConfig.read(path)


def test_the_learning_rate_rises_stays_and_falls() -> None:
    schedule = TrainConfig(data="demos", out="", steps=100, warmup=10, decay=0.5, learning_rate=1.0)
    rates = [schedule.learning_rate_at(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and rates[30] == 1.0
    assert rates[75] == pytest.approx(0.5) and rates[100] == 0.0
    assert rates == rates[:10] + sorted(rates[10:], reverse=True)


def simulated(count: int = 4) -> tuple[FrameStore, np.ndarray]:
    """Frames of one-frame episodes whose targets stand where their seeds put them."""
    made, seeds = frames(episodes=count, length=1), np.arange(1_000_000, 1_000_000 + count)
    world = Simulation(image_size=32)
    for row, seed in enumerate(seeds):
        world.reset("pick", int(seed))
        points = world.keypoints()
        made.keypoints[row] = np.concatenate([points["target"], points["goal"]])
        made.state[row, :6] = world.privileged().gripper_pose()
    world.close()
    return made, seeds


def test_scenes_are_redrawn_as_they_were() -> None:
    made, seeds = simulated()
    things = Scenes(made, seeds, preset("tiny")).things(np.arange(len(seeds)))
    assert (things[..., 0].sum(1) == 5).all()  # three objects, two containers
    nearest = np.abs(things[..., 1:] - made.keypoints[:, None, :2]).sum(-1).min(1)
    np.testing.assert_allclose(nearest, 0, atol=1e-6)


def test_gaze_is_where_the_cameras_see_the_target() -> None:
    made, seeds = simulated(8)
    model = preset("tiny")
    gaze = Scenes(made, seeds, model).gaze(np.arange(len(seeds)))
    assert gaze.shape == (len(seeds), 2, len(CAMERAS), model.tokens_per_camera)
    np.testing.assert_allclose(gaze[:, :, 0].sum(-1), 1, atol=1e-5)
    seen = gaze[:, 0, 1].sum(-1) > 0
    assert seen.sum() >= 4  # from where it starts, the wrist camera sees most of the table
    world = Simulation(image_size=96)
    for row, seed in enumerate(seeds):
        episode = world.reset("pick", int(seed))
        colour = episode.target.split()[0]
        for number, camera in enumerate(CAMERAS):
            share = shares(colour, world.render(camera))
            if number == 0 or seen[row]:
                assert share.flat[gaze[row, 0, number].argsort()[-4:]].max() > 0
    world.close()


def shares(colour: str, image: np.ndarray) -> np.ndarray:
    """How much of each token of a 6 x 6 grid has a colour."""
    red, green, blue = (image.astype(int)[..., i] for i in range(3))
    mask = {
        "red": (red > 90) & (green < 60) & (blue < 60),
        "green": (green > 70) & (red < 60) & (blue < 70),
        "blue": (blue > 90) & (red < 70) & (green < 90),
        "yellow": (red > 110) & (green > 90) & (blue < 60),
    }[colour]
    return np.array([[c.mean() for c in np.split(r, 6, 1)] for r in np.split(mask, 6, 0)])


def test_a_changed_world_is_noticed() -> None:
    made, seeds = simulated()
    with pytest.raises(DatasetError, match="seed puts it"):
        Scenes(made, seeds + 7, preset("tiny"))
