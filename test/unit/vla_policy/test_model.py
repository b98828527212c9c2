"""Laws of the network and of the policy around it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vla_policy.checkpoint import load_policy, save_policy
from vla_policy.contract import Observation, Policy
from vla_policy.errors import PolicyError
from vla_policy.model import diffusion, flops
from vla_policy.model.actions import ACTION_SIZE, Statistics, absolute_targets, relative_actions
from vla_policy.model.config import ModelConfig, preset
from vla_policy.model.network import VlaNetwork
from vla_policy.model.plan import FullCompute
from vla_policy.model.policy import VlaPolicy
from vla_policy.model.tokenizer import tokenize, word_tokenizer, words_of


def observation(seed: int = 0, instruction: str = "pick up the red cube") -> Observation:
    rng = np.random.default_rng(seed)
    images = {name: rng.integers(0, 256, (32, 32, 3), np.uint8) for name in ("front", "wrist")}
    state = np.array([0.3, 0.0, 0.2, 0.0, 1.5, 0.1, 0.05, 0.08], np.float32)
    return Observation(images, state + 0.01 * seed, instruction, stamp=1.0)


@pytest.fixture(scope="module")
def policy() -> VlaPolicy:
    policy = VlaPolicy.random("test")
    torch.nn.init.normal_(policy.network.head.out.weight)  # zero at birth, which hides differences
    return policy


def test_policy_keeps_the_contract(policy: VlaPolicy) -> None:
    assert isinstance(policy, Policy)
    memory = policy.start(3)
    chunk = policy.infer([observation()], [memory])[0]
    assert chunk.targets.shape == (16, 7) and chunk.targets.dtype == np.float32
    assert np.isfinite(chunk.targets).all()
    assert (chunk.sequence, memory.sequence, chunk.stamp) == (0, 1, 1.0)
    assert chunk.report.layers_run == (0, 1, 2)
    assert chunk.report.visual_tokens == (8, 8)


def test_same_seed_and_sequence_give_the_same_chunk(policy: VlaPolicy) -> None:
    first, again, other = (policy.infer([observation()], [policy.start(s)])[0] for s in (1, 1, 2))
    assert first.targets.tobytes() == again.targets.tobytes()
    assert not np.array_equal(first.targets, other.targets)


def test_batched_equals_one_by_one(policy: VlaPolicy) -> None:
    seen = [observation(0), observation(1, "pick up the red red red cube"), observation(2, "red")]
    together = policy.infer(seen, [policy.start(i) for i in range(3)])
    alone = [policy.infer([o], [policy.start(i)])[0] for i, o in enumerate(seen)]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.targets, other.targets, atol=2e-4)


def test_instruction_and_each_camera_matter(policy: VlaPolicy) -> None:
    base = policy.infer([observation()], [policy.start(0)])[0].targets
    other_words = replace(observation(), instruction="the cube")
    variants = [other_words]
    for name in ("front", "wrist"):
        images = dict(observation().images)
        images[name] = np.zeros_like(images[name])
        variants.append(replace(observation(), images=images))
    for variant in variants:
        assert not np.array_equal(base, policy.infer([variant], [policy.start(0)])[0].targets)


class Answers(FullCompute):
    """A plan with fixed answers."""

    def __init__(self, skip: tuple[int, ...] = (), keep: int = 0, interval: int = 1) -> None:
        self.skip, self.keep, self.interval = skip, keep, interval

    def runs_layer(self, layer, tokens):
        return layer not in self.skip

    def select_tokens(self, layer, tokens):
        if layer != 1 or not self.keep:
            return None
        return torch.arange(self.keep).expand(len(tokens.hidden), -1)

    def refreshes_step(self, step, steps):
        return step % self.interval == 0


def test_a_plan_decides_what_runs(policy: VlaPolicy) -> None:
    full = policy.infer([observation()], [policy.start(0)])[0]
    other = VlaPolicy(policy.network, policy.tokenizer, policy.statistics, plan=Answers((2,), 3, 2))
    cut = other.infer([observation()], [other.start(0)])[0]
    assert cut.report.layers_run == (0, 1)
    assert cut.report.visual_tokens == (8, 3)
    assert cut.report.head_steps == (3, 2)
    assert cut.report.gflops < full.report.gflops
    assert not np.array_equal(cut.targets, full.targets)


def test_keeping_all_tokens_changes_nothing(policy: VlaPolicy) -> None:
    full = policy.infer([observation()], [policy.start(0)])[0]
    other = VlaPolicy(policy.network, policy.tokenizer, policy.statistics, plan=Answers(keep=8))
    same = other.infer([observation()], [other.start(0)])[0]
    assert full.targets.tobytes() == same.targets.tobytes()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"images": {"front": np.zeros((8, 8, 3), np.uint8)}}, "wrist"),
        ({"images": {n: np.zeros((8, 8), np.uint8) for n in ("front", "wrist")}}, "front"),
        ({"images": {n: np.zeros((8, 8, 3), np.float32) for n in ("front", "wrist")}}, "float32"),
        ({"state": np.full(8, np.nan, np.float32)}, "state"),
        ({"state": np.zeros(7, np.float32)}, "state"),
        ({"instruction": "  "}, "instruction"),
        ({"instruction": "x" * 2000}, "instruction"),
    ],
)
def test_bad_observations_are_named(policy: VlaPolicy, change: dict, named: str) -> None:
    with pytest.raises(PolicyError, match=named):
        policy.infer([replace(observation(), **change)], [policy.start(0)])


def test_relative_actions_have_an_inverse() -> None:
    rng = np.random.default_rng(0)
    state = rng.normal(size=(5, 8))
    targets = rng.uniform(-1.5, 1.5, size=(5, 16, 7))
    back = absolute_targets(state, relative_actions(state, targets))
    np.testing.assert_allclose(back, targets, atol=1e-5)


def test_statistics_standardise_and_have_an_inverse() -> None:
    rng = np.random.default_rng(0)
    state = rng.uniform(-1, 1, size=(400, 8))
    targets = rng.uniform(-1, 1, size=(400, 16, 7))
    statistics = Statistics.measure(state, targets)
    actions = statistics.read_actions(state, targets)
    np.testing.assert_allclose(actions.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(actions.std(0), 1, atol=1e-3)
    np.testing.assert_allclose(statistics.write_targets(state, actions), targets, atol=1e-4)
    again = Statistics.from_dict(statistics.to_dict())
    np.testing.assert_array_equal(again.action_std, statistics.action_std)


def test_ddim_with_the_true_velocity_finds_the_sample() -> None:
    torch.manual_seed(0)
    sample, x = torch.randn(2, 16, ACTION_SIZE), torch.randn(2, 16, ACTION_SIZE)
    for _, now, after in diffusion.timesteps(5):
        angle = torch.tensor(now) * torch.pi / 2
        alpha, sigma = angle.cos(), angle.sin()
        noise = (x - alpha * sample) / sigma
        x = diffusion.ddim_step(x, alpha * noise - sigma * sample, now, after)
    torch.testing.assert_close(x, sample, atol=1e-4, rtol=0)


def test_checkpoint_gives_the_same_policy_back(policy: VlaPolicy, tmp_path) -> None:
    save_policy(policy, tmp_path / "one", card="# A policy\n")
    one = load_policy(tmp_path / "one")
    save_policy(one, tmp_path / "two")
    two = load_policy(tmp_path / "two")
    assert one.policy_hash == two.policy_hash != "untrained"
    chunks = [p.infer([observation()], [p.start(0)])[0].targets.tobytes() for p in (one, two)]
    assert chunks[0] == chunks[1]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda folder: (folder / "statistics.json").unlink(), "statistics.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
        (lambda folder: (folder / "config.json").write_text('{"format": 9}'), "format"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 99), "safetensors"),
        *[
            (lambda folder, n=name, t=text: (folder / n).write_bytes(t), name)
            for name, text in (
                ("config.json", b"[]"),
                ("config.json", b"\xff"),
                ("config.json", b'{"format": 1}'),
                ("config.json", b'{"format": 1, "model": []}'),
                ("config.json", b'{"format": 1, "model": {"horizont": 3}}'),
                ("config.json", b'{"format": 1, "model": {"language": 3}}'),
                ("config.json", b'{"format": 1, "model": {"image_size": "large"}}'),
                ("statistics.json", b"[]"),
                ("statistics.json", b"{}"),
                ("tokenizer.json", b"{}"),
                ("recipe.json", b"5"),
                ("recipe.json", b'{"ranking": 5}'),
            )
        ],
    ],
)
def test_damaged_checkpoints_are_named(policy: VlaPolicy, tmp_path, damage, named) -> None:
    folder = save_policy(policy, tmp_path / "policy")
    damage(folder)
    with pytest.raises(PolicyError, match=named):
        load_policy(folder)


def test_words_are_folded_and_unknown_ones_marked() -> None:
    assert words_of(["Pick up, the RED cube!"]) == {"pick", "up", ",", "the", "red", "cube", "!"}
    tokenizer = word_tokenizer(["red", "cube"])
    ids, mask = tokenize(tokenizer, ["Red cube", "shiny"], limit=24)
    assert ids.tolist() == [[3, 2], [0, 1]] and mask.tolist() == [[True, True], [False, True]]


@pytest.mark.parametrize("name", ["test", "tiny"])
def test_flops_agree_with_torch(name: str) -> None:
    config = preset(name)
    network = VlaNetwork(config).eval()
    text = torch.zeros(1, 7, dtype=torch.int64)
    size = config.image_size
    # torch does not count the fused attention of CPUs
    plain = sdpa_kernel(SDPBackend.MATH)
    with torch.inference_mode(), plain, FlopCounterMode(display=False) as counter:
        visual = network.see(torch.zeros(1, 2, 3, size, size))
        condition = network.think(visual, text, text == 0, torch.zeros(1, 11), FullCompute())
        network.head.sample(torch.zeros(1, 16, ACTION_SIZE), condition.tokens, FullCompute())
    expected = sum(flops.stages(config, text_tokens=7).values())
    assert counter.get_total_flops() / 1e9 == pytest.approx(expected, rel=0.01)


def test_cogact_base_has_its_published_size() -> None:
    """802 M, 6739 M and 89 M parameters: arXiv 2506.10100, table 1."""
    with torch.device("meta"):
        network = VlaNetwork(preset("cogact_base"))
    size = {
        room: sum(p.numel() for p in getattr(network, room).parameters()) / 1e6
        for room in ("vision", "language", "head")
    }
    assert size["vision"] == pytest.approx(802, rel=0.03)
    assert size["language"] == pytest.approx(6739, rel=0.03)
    assert size["head"] == pytest.approx(89, rel=0.03)


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(PolicyError, match="tiny"):
        preset("huge")
    with pytest.raises(PolicyError, match="horizon"):
        ModelConfig.from_dict({"horizont": 3})


@pytest.mark.parametrize("device", ["cuda:99", "toaster", "meta:x"])
def test_a_device_that_is_not_there_is_named(policy: VlaPolicy, tmp_path, device: str) -> None:
    folder = save_policy(policy, tmp_path / "policy")
    with pytest.raises(PolicyError, match=f"device: got '{device}'"):
        load_policy(folder, device)
