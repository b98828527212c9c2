"""Bags: read whatever is readable, name the rest, convert there and back."""

import json
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mcap.writer import CompressionType, Writer

from vla_distill.bags.content import read_bag
from vla_distill.bags.episode import split
from vla_distill.bags.errors import BagError
from vla_distill.bags.mapping import TopicMapping, load_mapping
from vla_distill.bags.message import MessageMaker
from vla_distill.bags.replay import observation_of, replay
from vla_distill.bags.simulated import record
from vla_distill.bags.to_dataset import ConversionConfig, to_dataset
from vla_distill.cli import main as cli
from vla_distill.dataset import layout
from vla_distill.dataset.errors import DatasetError
from vla_distill.dataset.reader import Dataset
from vla_policy.bag_writer import BagWriter
from vla_policy.checkpoint import load_policy, save_policy
from vla_policy.chunking.realtime import RealTimeChunking
from vla_policy.chunking.switch import Switch
from vla_policy.contract import ActionChunk, ComputeReport, Memory, Observation
from vla_policy.efficiency.acceleration import accelerate
from vla_policy.efficiency.recipe import Recipe
from vla_policy.errors import PolicyError
from vla_policy.message_types import message_types
from vla_policy.model.actions import Statistics
from vla_policy.model.config import RouterConfig, preset
from vla_policy.model.network import VlaNetwork
from vla_policy.model.policy import VlaPolicy
from vla_policy.observation import StateHistory, assemble_observation, state_from_message

CAMERAS = ("front", "wrist")
SECONDS = 1.0


class ShiftPolicy:
    """Moves on by an amount that depends on images, state, noise and what ran before."""

    cameras, image_size, step_dt, horizon = CAMERAS, 16, 0.1, 8
    policy_hash = "shift"

    def start(self, seed):
        return Memory(seed)

    def infer(self, observations, memories):
        return [self._one(o, m) for o, m in zip(observations, memories, strict=True)]

    def _one(self, observation: Observation, memory: Memory) -> ActionChunk:
        noise = np.random.default_rng([memory.seed, memory.sequence]).standard_normal(3)
        light = float(observation.images["front"].mean() - observation.images["wrist"].mean())
        targets = np.tile(observation.state[:7], (8, 1))
        targets[:, :3] += (np.arange(8)[:, None] + light) * 1e-3 + noise * 1e-4
        if memory.previous is not None:
            targets[:, 2] += 1e-4 * len(memory.previous.report.layers_run)
        report = ComputeReport(layers_run=tuple(range(1 + memory.sequence % 3)))
        chunk = ActionChunk(
            targets, observation.stamp, 0.1, sequence=memory.sequence, policy_hash="shift",
            instruction=observation.instruction, seed=memory.seed,
            input_stamps=observation.input_stamps, report=report,
        )  # fmt: skip
        memory.sequence += 1
        memory.previous = chunk
        return chunk


def pose(time):
    return np.array([0.3 + 0.05 * time, 0.02 * np.sin(time), 0.2, 0.0, 1.5 + 0.1 * time, 0.1])


def picture(time, camera):
    rng = np.random.default_rng([round(time * 1000), len(camera)])
    return rng.integers(0, 256, (16, 16, 3), np.uint8)


picture_of_a_still_scene = picture(0.0, "front")


def messages(
    start=10.0, duration=SECONDS, prefix="", image_offset=0.0, mark=True, policy=None, chunking=None
):
    """(time, topic, message) of an episode: 50 Hz states, 10 Hz images, a chunk every 0.2 s."""
    make, out = MessageMaker(), []
    policy, chunking = policy or ShiftPolicy(), chunking or Switch()
    memory, history, images = policy.start(3), StateHistory(), {}
    if mark:
        out.append((start, f"{prefix}/episode_mark", make.mark(start, 0, "go", "reach", 5)))
    out.append((start, f"{prefix}/instruction", make.text("go")))
    for tick in range(round(duration * 50) + 1):
        stamp = round(start + tick * 0.02, 9)
        if tick % 5 == 0:
            for camera in CAMERAS:
                taken = round(stamp - image_offset, 9)
                images[camera] = make.image(taken, camera, picture(taken, camera))
                out.append((stamp, f"{prefix}/camera/{camera}/image_raw", images[camera]))
        state = np.append(pose(stamp - start), (0.05, 0.04))
        sent = np.append(pose(stamp - start - 0.02), 0.04)
        message = make.state(stamp, state, sent)
        history.add(stamp, state_from_message(message))
        out.append((stamp, f"{prefix}/ee_state", message))
        if tick % 10 == 1:
            observation = assemble_observation(images, history.at, "go")
            chunking.ask(memory, observation.stamp)
            chunk = policy.infer([observation], [memory])[0]
            chunking.receive(chunk, stamp + 0.05)
            out.append((stamp, f"{prefix}/action_chunk", make.chunk(chunk)))
        command = make.command(stamp, np.append(pose(stamp - start), 0.04))
        out.append((stamp, f"{prefix}/ee_command", command))
    if mark:
        end = round(start + duration, 9)
        out.append((end, f"{prefix}/episode_mark", make.mark(end, 2)))
        out.append((end, f"{prefix}/episode_mark", make.mark(end, 1)))
    return out


def write(path: Path, content) -> Path:
    with BagWriter(path) as bag:
        for time, topic, message in content:
            bag.add(topic, message, time)
    return path


def reasons(bag):
    return " | ".join(str(fault) for fault in bag.faults)


def test_a_whole_bag_has_nothing_wrong_and_its_episode(tmp_path):
    bag = read_bag(write(tmp_path / "a.mcap", messages()))
    assert not bag.faults
    assert len(bag.states) == 51 and {len(v) for v in bag.images.values()} == {11}
    (episode,) = split(bag)
    assert (episode.instruction, episode.task, episode.seed) == ("go", "reach", 5)
    assert episode.success is True and episode.split_by == "marks"


@pytest.mark.parametrize("offset", [0.0, 0.013])
def test_the_observation_of_a_bag_is_the_live_one_to_the_bit(tmp_path, offset):
    policy, seen = ShiftPolicy(), []
    content = messages(image_offset=offset)
    bag = read_bag(write(tmp_path / "a.mcap", content))
    results = replay(bag, policy)
    assert len(results) == 5 and all(result.equal for result in results)
    for entry in bag.chunks:
        observation = observation_of(bag, entry)
        seen.append(observation)
        assert np.array_equal(
            observation.images["front"], picture(round(observation.stamp, 3), "front")
        )
    # The chunk is asked for a tick after the image, so there is a state on either side of it; only
    # the first image may be older than all states.
    between = ["ee_state_after" in observation.input_stamps for observation in seen]
    assert between == [offset == 0.0, True, True, True, True]


@pytest.mark.parametrize("start", [10.0, 1_700_000_000.0], ids=["simulated", "wall clock"])
def test_chunks_of_real_time_chunking_are_made_again_to_the_bit(tmp_path, start):
    torch.manual_seed(0)
    policy = VlaPolicy.random("test")
    torch.nn.init.normal_(policy.network.head.out.weight, std=0.1)
    content = messages(start, policy=policy, chunking=RealTimeChunking(), image_offset=0.013)
    bag = read_bag(write(tmp_path / "a.mcap", content))
    continued = [entry.value.chunk.continues is not None for entry in bag.chunks]
    assert continued == [False, True, True, True, True]
    assert all("previous_chunk" not in entry.value.chunk.input_stamps for entry in bag.chunks)
    results = replay(bag, policy)
    assert all(result.equal for result in results), [result.why_not for result in results]
    first_two = [row for row in content if row[1] == "/action_chunk"][:2]
    gone = [row for row in content if not any(row is each for each in first_two)]
    (first, *rest) = replay(read_bag(write(tmp_path / "b.mcap", gone)), policy)
    assert "action_chunk before" in first.why_not and all(result.equal for result in rest)


class Wandering:
    """A policy on a robot, where something sets another budget before each chunk."""

    def __init__(self, policy: VlaPolicy, *changes: dict[str, int]) -> None:
        self.start, self._policy, self._changes = policy.start, policy, list(changes)

    def infer(self, observations, memories):
        plan = self._policy.plan
        plan.budget = replace(plan.default, **self._changes.pop(0))
        return self._policy.infer(observations, memories)


def adjustable(methods: dict[str, dict]) -> VlaPolicy:
    torch.manual_seed(0)
    words = VlaPolicy.random("test").tokenizer
    config = replace(preset("test"), router=RouterConfig(width=8))
    network = VlaNetwork(config)
    torch.nn.init.normal_(network.head.out.weight, std=0.1)
    plain = VlaPolicy(network, words, Statistics.identity(config.horizon))
    rows = [
        Observation({c: picture(t, c) for c in CAMERAS}, np.append(pose(t), (0.05, 0.04)), "go", t)
        for t in np.arange(6.0)
    ]
    return accelerate(plain, Recipe.from_dict({"methods": methods}), rows)


@pytest.mark.parametrize(
    ("methods", "changes"),
    [
        (
            {"deepest_layers": {"keep": 2}, "uniform_tokens": {"keep": 5}},
            ({}, {"language_layers": 3}, {"visual_tokens": 2}, {"head_steps": 1}, {}),
        ),
        ({}, [{"head_cache_interval": each} for each in (1, 2, 3, 2, 1)]),
        ({"layer_router": {"keep": 2}}, [{"language_layers": each} for each in (2, 3, 1, 1, 2)]),
        ({"top_k_router": {"keep": 2}}, [{"language_layers": each} for each in (2, 3, 1, 1, 2)]),
    ],
    ids=["layers, tokens and steps", "cache of the head", "on average", "router"],
)
def test_chunks_are_made_again_within_the_budget_that_each_was_made_in(tmp_path, methods, changes):
    policy = adjustable(methods)
    content = messages(policy=Wandering(policy, *changes))
    policy.plan.budget = policy.plan.default
    results = replay(read_bag(write(tmp_path / "a.mcap", content)), policy)
    assert [r.why_not for r in results] == [""] * 5
    assert policy.plan.budget == policy.plan.default


def test_a_chunk_of_a_budget_that_no_report_tells_is_no_difference(tmp_path, monkeypatch, capsys):
    """How many tokens may come from earlier frames is not recorded."""
    monkeypatch.setattr(sys.modules[__name__], "picture", lambda *_: picture_of_a_still_scene)
    methods = {"vla_cache": {"reuse": 8, "at": 1}}
    made = load_policy(save_policy(adjustable(methods), tmp_path / "policy"))
    content = messages(policy=Wandering(made, *[{"reused_tokens": n} for n in (8, 8, 3, 8, 8)]))
    bag = write(tmp_path / "a.mcap", content)
    results = replay(read_bag(bag), made)
    assert [r.equal for r in results] == [True, True, False, False, False]
    assert [r.other_budget for r in results] == [False, False, True, True, True]
    words = [str(bag), "--policy", str(tmp_path / "policy"), "--json", str(tmp_path / "a.json")]
    assert cli.main(["replay", *words]) == 3
    told = json.loads((tmp_path / "a.json").read_text())
    assert (told["equal"], told["differing"], len(told["other_budget"])) == (2, [], 3)
    assert "budget" in capsys.readouterr().out
    chunks = [m for _, topic, m in content if topic == "/action_chunk"]
    chunks[1].poses[4].position.x += 0.002
    (_, second, *_) = replay(read_bag(write(tmp_path / "b.mcap", content)), made)
    assert not second.other_budget and "target 4" in second.why_not


def test_a_chunk_that_was_changed_is_found(tmp_path):
    content = messages()
    chunks = [m for _, topic, m in content if topic == "/action_chunk"]
    chunks[2].poses[4].position.x += 0.002
    results = replay(read_bag(write(tmp_path / "a.mcap", content)), ShiftPolicy())
    assert [r.equal for r in results] == [True, True, False, True, True]
    assert "target 4" in results[2].why_not
    assert results[2].position_mm == pytest.approx(2.0, abs=1e-6)


def test_a_chunk_whose_image_is_not_there_is_named(tmp_path):
    gone = [m for m in messages() if not (m[1].endswith("wrist/image_raw") and m[0] == 10.2)]
    results = replay(read_bag(write(tmp_path / "a.mcap", gone)), ShiftPolicy())
    assert [r.equal for r in results] == [True, False, True, True, True]
    assert "wrist" in results[1].why_not and "10.2" in results[1].why_not


def test_late_and_double_messages_are_put_right_and_named(tmp_path):
    content = messages()
    states = [i for i, m in enumerate(content) if m[1] == "/ee_state"]
    content[states[7]], content[states[8]] = content[states[8]], content[states[7]]
    content.insert(states[20] + 1, content[states[20]])
    bag = read_bag(write(tmp_path / "a.mcap", content))
    assert "came late" in reasons(bag) and "equal stamps" in reasons(bag)
    stamps = [e.stamp for e in bag.states]
    assert stamps == sorted(set(stamps)) and len(stamps) == 51


def test_a_clock_that_jumps_back_begins_a_segment(tmp_path):
    bag = read_bag(write(tmp_path / "a.mcap", [*messages(20.0), *messages(5.0)]))
    assert "jumped back" in reasons(bag)
    assert [(e.segment, e.start) for e in split(bag)] == [(0, 20.0), (1, 5.0)]


def test_a_file_cut_off_gives_what_was_written(tmp_path):
    whole = write(tmp_path / "a.mcap", messages(duration=30.0)).read_bytes()
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    bag = read_bag(cut)
    assert 0 < len(bag.states) < 1501
    assert "cut.mcap" in reasons(bag) and "lost" in reasons(bag)


def test_a_corrupt_chunk_costs_that_chunk_alone(tmp_path):
    path = write(tmp_path / "a.mcap", messages(duration=30.0))
    data = bytearray(path.read_bytes())
    for byte in range(len(data) // 2, len(data) // 2 + 40):
        data[byte] ^= 0x55
    path.write_bytes(data)
    bag = read_bag(path)
    assert "corrupt" in reasons(bag)
    assert bag.states[0].stamp == 10.0 and bag.states[-1].stamp == 40.0
    assert len(bag.states) < 1501


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "is empty"), (b"not a bag", "cannot be read"), (b"\x89MCAP0\r\n", "cannot be read")],
)
def test_a_file_that_is_no_bag_is_named(tmp_path, capsys, content, why):
    path = tmp_path / "a.mcap"
    path.write_bytes(content)
    bag = read_bag(path)
    assert why in reasons(bag) and "no message" in reasons(bag)
    with pytest.raises(BagError, match="no state"):
        split(bag)
    assert cli.main(["bag", "info", str(path)]) == 2
    assert why in capsys.readouterr().err


def test_wrong_types_are_named_and_left_out(tmp_path):
    make = MessageMaker()
    content = [m for m in messages() if m[1] != "/ee_state"]
    content.append((10.0, "/ee_state", make.text("hello")))
    bag = read_bag(write(tmp_path / "a.mcap", content))
    assert "std_msgs/msg/String, expected" in reasons(bag)
    with pytest.raises(BagError, match="no state"):
        to_dataset(bag, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mcap"]


def write_sqlite(path, content):
    types, base = message_types(), sqlite3.connect(path)
    base.execute("CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT)")
    base.execute(
        "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INT, timestamp INT, data BLOB)"
    )
    ids: dict[str, int] = {}
    for time, topic, message in content:
        kind = message.__msgtype__
        if topic not in ids:
            ids[topic] = len(ids) + 1
            base.execute("INSERT INTO topics VALUES(?, ?, ?)", (ids[topic], topic, kind))
        data = bytes(types.serialize_cdr(message, kind))
        row = (ids[topic], round(time * 1e9), data)
        base.execute("INSERT INTO messages(topic_id, timestamp, data) VALUES(?, ?, ?)", row)
    base.commit()
    base.close()
    return path


def test_sqlite_bags_read_the_same(tmp_path):
    bag = read_bag(write_sqlite(tmp_path / "a.db3", messages()))
    assert not bag.faults and len(bag.states) == 51
    assert all(result.equal for result in replay(bag, ShiftPolicy()))


def test_a_sqlite_file_cut_off_gives_what_is_left(tmp_path):
    path = write_sqlite(tmp_path / "a.db3", messages())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    bag = read_bag(path)
    assert 10 < len(bag.states) < 51 and set(bag.images) == set(CAMERAS)
    assert "a.db3 cannot be read any further" in reasons(bag)


def test_any_topic_names_by_a_mapping(tmp_path):
    renamed = {"/x/camera/front/image_raw": "/high", "/x/camera/wrist/image_raw": "/low"}
    renamed |= {"/x/ee_state": "/follower/state"}
    content = [(time, renamed.get(topic, topic), m) for time, topic, m in messages(prefix="/x")]
    path = write(tmp_path / "a.mcap", content)
    assert not read_bag(path).states
    file = tmp_path / "map.yaml"
    file.write_text("cameras: {front: /high, wrist: /low}\nstate: /follower/state\n")
    bag = read_bag(path, load_mapping(file))
    assert len(bag.states) == 51 and sorted(bag.images) == ["front", "wrist"]
    assert len(bag.commands) == 51  # under a namespace, found by its usual name


@pytest.mark.parametrize(
    ("text", "word"),
    [("[1]", "names and values"), ("camera: x", "'camera'"), ("joints: [a]", "six"), ("{", "YAML")],
)
def test_a_broken_mapping_is_named(tmp_path, text, word):
    file = tmp_path / "map.yaml"
    file.write_text(text)
    with pytest.raises(BagError, match=word):
        load_mapping(file)


def test_there_and_back_again(tmp_path):
    bag = read_bag(write(tmp_path / "a.mcap", [*messages(10.0), *messages(20.0)]))
    summary, left_out = to_dataset(bag, tmp_path / "one")
    assert summary["episodes"] == 2 and not left_out
    first = Dataset(tmp_path / "one")
    words = ["dataset", "to-bag", str(tmp_path / "one"), "--out", str(tmp_path / "b.mcap")]
    assert cli.main(words) == 0
    to_dataset(read_bag(tmp_path / "b.mcap"), tmp_path / "two")
    second = Dataset(tmp_path / "two")
    assert len(first.episodes) == len(second.episodes) == 2
    for index in range(2):
        a, b = first.episode(index), second.episode(index)
        assert a.instruction == b.instruction == "go"
        assert len(a) == len(b) >= 10
        assert b.state == pytest.approx(a.state, abs=1e-6)
        assert b.action == pytest.approx(a.action, abs=1e-6)
        for camera in CAMERAS:
            # Each way rounds RGB to YUV once.
            assert np.abs(a.images[camera].astype(int) - b.images[camera]).max() <= 6


def test_chosen_episodes_go_back_and_others_are_refused(tmp_path, capsys):
    bag = read_bag(write(tmp_path / "a.mcap", [*messages(10.0), *messages(20.0)]))
    to_dataset(bag, tmp_path / "one")
    words = ["dataset", "to-bag", str(tmp_path / "one"), "--out", str(tmp_path / "b.mcap")]
    assert cli.main([*words, "--episodes", "2"]) == 2
    assert "--episodes: got ['2'], expected numbers from 0 to 1" in capsys.readouterr().err
    assert not (tmp_path / "b.mcap").exists()
    assert cli.main([*words, "--episodes", "1"]) == 0
    assert len(split(read_bag(tmp_path / "b.mcap"))) == 1


def change(dataset: Path, file: str, edit) -> None:
    content = json.loads((dataset / file).read_text())
    edit(content)
    (dataset / file).write_text(json.dumps(content))


def test_episodes_that_were_kept_because_they_succeeded_come_back_as_successes(tmp_path):
    to_dataset(read_bag(write(tmp_path / "a.mcap", messages())), tmp_path / "one")
    words = ["dataset", "to-bag", str(tmp_path / "one"), "--out"]
    assert cli.main([*words, str(tmp_path / "unknown.mcap")]) == 0
    assert split(read_bag(tmp_path / "unknown.mcap"))[0].success is None
    change(tmp_path / "one", layout.COLLECTION_PATH, lambda m: m.update(collection={"suite": "x"}))
    assert cli.main([*words, str(tmp_path / "b.mcap")]) == 0
    kept, _ = to_dataset(
        read_bag(tmp_path / "b.mcap"), tmp_path / "two", ConversionConfig(only_success=True)
    )
    assert kept["episodes"] == 1


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda info: info["features"].update(
                {layout.CHUNK: {"dtype": "float32", "shape": [1]}}
            ),
            "got chosen frames, which need not follow one another",
        ),
        (lambda info: info.update(robot_type="gymnasium/x"), "got gymnasium/x, expected arx5"),
    ],
    ids=["distilled", "another robot"],
)
def test_what_is_no_recording_of_the_arm_does_not_become_one(tmp_path, capsys, edit, message):
    to_dataset(read_bag(write(tmp_path / "a.mcap", messages())), tmp_path / "one")
    change(tmp_path / "one", layout.INFO_PATH, edit)
    words = ["dataset", "to-bag", str(tmp_path / "one"), "--out", str(tmp_path / "b.mcap")]
    assert cli.main(words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "b.mcap").exists()


def test_the_action_is_what_was_commanded_one_step_later(tmp_path):
    to_dataset(read_bag(write(tmp_path / "a.mcap", messages())), tmp_path / "d")
    frames = Dataset(tmp_path / "d").episode(0)
    for k in range(len(frames) - 1):
        assert frames.action[k][:3] == pytest.approx(pose(0.1 * (k + 1))[:3], abs=1e-6)
        assert frames.state[k][:3] == pytest.approx(pose(0.1 * k)[:3], abs=1e-6)


def test_the_action_of_an_arm_guided_by_hand_is_where_it_was_one_step_later(tmp_path):
    content = [m for m in messages() if not m[1].endswith("ee_command")]
    for _, topic, message in content:
        if topic.endswith("ee_state"):  # as arm_node says in mode teach
            message.commanded = message.measured
            message.gripper_commanded = message.gripper_measured
    to_dataset(read_bag(write(tmp_path / "a.mcap", content)), tmp_path / "d")
    frames = Dataset(tmp_path / "d").episode(0)
    assert frames.action[:-1] == pytest.approx(frames.state[1:, :7], abs=1e-6)


def test_frames_without_images_are_left_out_and_named(tmp_path):
    content = [m for m in messages(duration=4.0) if not ("wrist" in m[1] and 11.45 < m[0] < 12.55)]
    summary, left_out = to_dataset(read_bag(write(tmp_path / "a.mcap", content)), tmp_path / "d")
    assert summary["episodes"] == 2
    assert any("wrist" in f.topic and "no image" in f.reason for f in left_out)


def test_nothing_is_left_of_a_conversion_that_fails(tmp_path):
    bag = read_bag(write(tmp_path / "a.mcap", messages()))
    config = ConversionConfig(only_success=True)
    bag.marks = [m for m in bag.marks if m.value.kind != 2]
    with pytest.raises(BagError, match="no usable frames"):
        to_dataset(bag, tmp_path / "d", config)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mcap"]
    (tmp_path / "d").mkdir()
    with pytest.raises(DatasetError, match="exists"):
        to_dataset(bag, tmp_path / "d")


@pytest.mark.parametrize(
    ("word", "value", "message"),
    [("--fps", "0", "fps: got 0"), ("--image-size", "-4", "image_size: got (-4, -4)"),
     ("--max-age", "-1", "max_age: got -1.0"), ("--max-age", "nan", "max_age: got nan")],
)  # fmt: skip
def test_impossible_numbers_of_a_conversion_are_named(tmp_path, capsys, word, value, message):
    path = write(tmp_path / "a.mcap", messages(duration=0.2))
    words = ["bag", "to-dataset", str(path), "--out", str(tmp_path / "d"), word, value]
    assert cli.main(words) == 2
    assert message in capsys.readouterr().err


def test_a_bag_of_no_scenes_is_not_made(tmp_path):
    with pytest.raises(BagError, match="scenes: got none"):
        record(ShiftPolicy(), [], tmp_path / "a.mcap")
    assert not (tmp_path / "a.mcap").exists()


def test_a_bag_is_never_overwritten_and_a_failed_one_leaves_nothing(tmp_path):
    path = write(tmp_path / "a.mcap", messages(duration=0.1))
    with pytest.raises(PolicyError, match="exists"):
        BagWriter(path)
    with pytest.raises(RuntimeError), BagWriter(tmp_path / "b.mcap"):
        raise RuntimeError
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mcap"]


def test_what_a_kill_left_of_a_recording_is_kept_and_of_a_conversion_replaced(tmp_path):
    (tmp_path / "a.part.mcap").write_text("demonstrations")
    with pytest.raises(PolicyError, match=r"a\.part\.mcap, of a killed one"):
        BagWriter(tmp_path / "a.mcap", recorded=True)
    assert (tmp_path / "a.part.mcap").read_text() == "demonstrations"
    with pytest.raises(PolicyError, match=r"got a\.bag"):
        BagWriter(tmp_path / "a.bag")
    write(tmp_path / "a.mcap", messages(duration=0.1))
    assert [p.name for p in tmp_path.iterdir()] == ["a.mcap"]


def test_messages_without_a_schema_are_named(tmp_path):
    path = tmp_path / "a.mcap"
    with path.open("wb") as file:
        writer = Writer(file, compression=CompressionType.NONE)
        writer.start("ros2")
        channel = writer.register_channel("/ee_state", "json", 0)
        writer.add_message(channel, 1, json.dumps({}).encode(), 1)
        writer.finish()
    assert "/ee_state" in reasons(read_bag(path, TopicMapping()))
