"""Released checkpoints: read in their own layout, and computed as they were published."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[2] / "doubles"))
import published_forward
import released_checkpoints as releases

from vla_policy import checkpoint
from vla_policy.contract import Observation
from vla_policy.efficiency.acceleration import accelerate
from vla_policy.efficiency.budget import full_budget
from vla_policy.efficiency.recipe import Recipe
from vla_policy.errors import PolicyError
from vla_policy.model.hub import layout
from vla_policy.model.hub.actions import DeltaActions
from vla_policy.model.hub.config import PrismaticConfig
from vla_policy.model.hub.network import PrismaticNetwork
from vla_policy.model.hub.policy import PrismaticPolicy
from vla_policy.model.hub.released import LLAMA, Options, load_released
from vla_policy.model.plan import FullCompute

KINDS = ("cogact", "openvla")
STATE = np.array([0.3, 0.1, 0.2, 0.0, 1.5, 0.1, 0.05, 0.08], np.float32)
RECIPES = {
    "efficientvla": {
        "layer_importance": {"keep": 3},
        "mlp_sparsity": {"share": 0.25},
        "task_diversity": {"keep": 3},
        "head_cache": {"interval": 5},
    },
    "action_importance": {"action_importance": {"keep": 3}},
    "vla_cache": {"vla_cache": {"reuse": 4, "at": 1, "drift": 9.0}},
}


@pytest.fixture(scope="module")
def tensors() -> dict[str, dict[str, Tensor]]:
    return {kind: releases.make(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def folders(tensors, tmp_path_factory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("released")
    return {kind: releases.write(base / kind, kind, tensors[kind]) for kind in KINDS}


@pytest.fixture(scope="module")
def policies(folders) -> dict[str, PrismaticPolicy]:
    return {kind: load_released(folders[kind], sizes=releases.sizes(kind)) for kind in KINDS}


def observation(seed: int = 0, instruction: str = "Pick up the red cube") -> Observation:
    size = releases.IMAGE
    image = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    return Observation({"front": image}, STATE, instruction, stamp=1.0)


def ids(instruction: str) -> list[int]:
    """After the start token; 29871 is Llama's empty word."""
    text = f"In: What action should the robot take to {instruction.lower()}?\nOut:"
    return [*releases.tokenizer().encode(text).ids[1:], 29871]


def targets_of(deltas: np.ndarray) -> np.ndarray:
    """Poses step by step, as matrices in the base frame."""
    place, turn = STATE[:3].astype(float), Rotation.from_rotvec(STATE[3:6]).as_matrix()
    rows = []
    for row in deltas:
        place = place + row[:3]
        turn = Rotation.from_euler("xyz", row[3:6]).as_matrix() @ turn
        rows.append([*place, *Rotation.from_matrix(turn).as_rotvec(), 0.088 * row[6]])
    return np.array(rows)


def in_units(actions: np.ndarray) -> np.ndarray:
    low, high = np.array(releases.Q01), np.array(releases.Q99)
    scaled = low + (high - low) * (actions + 1) / 2
    return np.concatenate([scaled[:, :6], actions[:, 6:]], axis=1)


def test_cogact_does_what_was_published(policies, tensors) -> None:
    policy, seen = policies["cogact"], observation()
    chunk = policy.infer([seen], [policy.start(5)])[0]
    noise = np.random.default_rng([5, 0]).standard_normal((16, 7), np.float32)
    words = [*ids(seen.instruction), 2]
    actions = published_forward.cogact(
        tensors["cogact"], seen.images["front"], words, noise, policy.config
    ).numpy()
    actions = actions.clip(-1, 1)
    actions[:, 6] = actions[:, 6] >= 0.5
    expected = targets_of(in_units(actions))
    np.testing.assert_allclose(chunk.targets, expected, atol=2e-4)
    assert np.ptp(expected[:, :3], axis=0).min() > 0.01 and chunk.report.head_steps == (10, 10)


def test_openvla_does_what_was_published(policies, tensors) -> None:
    policy, seen = policies["openvla"], observation()
    words, actions = published_forward.openvla(
        tensors["openvla"], seen.images["front"], ids(seen.instruction), policy.config
    )
    with torch.inference_mode():
        inputs = policy.inputs([seen])
        visual = policy.network.see(inputs.images)
        told = policy.network.think(
            visual, inputs.text, inputs.text_mask, inputs.state, FullCompute()
        )
    np.testing.assert_allclose(told.tokens[0, 0], actions, atol=1e-6)
    assert len(set(words)) > 2
    chunk = policy.infer([seen], [policy.start(0)])[0]
    opening = [np.clip(actions[6], 0, 1)]
    expected = targets_of(in_units(np.array([[*actions[:6], *opening]])))
    np.testing.assert_allclose(chunk.targets, expected, atol=1e-5)


def test_a_word_is_the_middle_of_its_bin(policies) -> None:
    """31999 is the first bin, 31745 the last of 255; a word that is none counts as the nearest."""
    read = policies["openvla"].network.head.read(torch.tensor([[31999, 31745, 31872, 5, 32063]]))
    np.testing.assert_allclose(read[0], [-254 / 255, 254 / 255, 0.0, 254 / 255, -254 / 255])


@pytest.mark.parametrize("kind", KINDS)
def test_batched_equals_one_by_one(policies, kind: str) -> None:
    policy = policies[kind]
    seen = [observation(0), observation(1, "place it"), observation(2, "pick the cube up")]
    together = policy.infer(seen, [policy.start(row) for row in range(3)])
    for row, chunk in enumerate(together):
        alone = policy.infer([seen[row]], [policy.start(row)])[0]
        np.testing.assert_allclose(chunk.targets, alone.targets, atol=2e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("recipe", [None, *RECIPES])
def test_the_same_recipes_apply_and_are_counted(policies, kind: str, recipe: str | None) -> None:
    plain = policies[kind]
    seen = [observation(0), observation(1, "place it")]
    methods = RECIPES[recipe] if recipe else {}
    policy = accelerate(plain, Recipe.from_dict({"methods": methods}), seen)
    memory, other = policy.start(0), plain.start(0)
    with sdpa_kernel(SDPBackend.MATH):  # torch does not count the fused kernel of CPUs
        policy.infer([seen[0]], [memory])
        full = [plain.infer([seen[0]], [other])[0] for _ in range(2)][1]
        with FlopCounterMode(display=False) as counter:
            chunk = policy.infer([seen[0]], [memory])[0]
    assert counter.get_total_flops() / 1e9 == pytest.approx(chunk.report.gflops, rel=0.01)
    if recipe is None:
        assert chunk.targets.tobytes() == full.targets.tobytes()
    else:
        assert chunk.report.gflops < full.report.gflops
    if recipe == "vla_cache":
        policy.plan.budget = full_budget(policy.plan.limits)
        again = policy.infer([seen[0]], [replace(memory, sequence=1)])[0]
        np.testing.assert_allclose(chunk.targets, again.targets, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_narrow_bfloat16_policy_stays_one(folders, kind: str) -> None:
    sizes, seen = releases.sizes(kind), [observation(0), observation(1, "place it")]
    policy = load_released(folders[kind], Options(dtype="bfloat16"), sizes=sizes)
    recipe = Recipe.from_dict({"methods": {"mlp_sparsity": {"share": 0.25, "refit": True}}})
    narrow = accelerate(policy, recipe, seen)
    assert narrow.config.language.mlp_width == 36
    assert {value.dtype for value in narrow.network.parameters()} == {torch.bfloat16}
    given = dict(policy.network.named_buffers())
    for name, value in narrow.network.named_buffers():
        torch.testing.assert_close(value, given[name], rtol=0, atol=0)
    assert np.isfinite(narrow.infer(seen[:1], [narrow.start(0)])[0].targets).all()


DAMAGE: dict[str, Callable[[dict[str, Tensor], str], object]] = {
    "missing": lambda tensors, name: tensors.pop(name),
    "extra": lambda tensors, name: tensors.update({f"{name}_more": torch.zeros(2)}),
    "misshapen": lambda tensors, name: tensors.update({name: tensors[name][..., :-1]}),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("cogact", "action_model.net.blocks.1.mlp.fc2.weight"),
        ("cogact", "action_model.net.history_embedder.linear.bias"),
        ("cogact", "vision_backbone.siglip_featurizer.attn_pool.kv.weight"),
        ("openvla", "vision_backbone.featurizer.blocks.2.ls1.scale_factor"),
        ("openvla", "language_model.model.layers.3.self_attn.k_proj.weight"),
    ],
)
def test_a_damaged_tensor_is_named(tensors, tmp_path, kind: str, name: str, damage: str) -> None:
    """Those that never run as well: a file that lacks them is not what it says it is."""
    damaged = dict(tensors[kind])
    DAMAGE[damage](damaged, name)
    folder = releases.write(tmp_path, kind, damaged)
    with pytest.raises(PolicyError, match=name.replace(".", r"\.")):
        load_released(folder, sizes=releases.sizes(kind))


class Trap:
    """Leaves a mark when it is unpickled by the book."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code of a checkpoint ran')",)


def test_code_in_a_checkpoint_does_not_run(folders, tmp_path, tensors) -> None:
    folder = releases.write(tmp_path, "cogact", {"a.b": torch.zeros(1)})
    torch.save({"model": Trap()}, folder / "checkpoints" / "CogACT-Base.pt")
    with pytest.raises(PolicyError, match=r"CogACT-Base\.pt"):
        load_released(folder, sizes=releases.sizes("cogact"))


def test_what_is_not_there_is_said(folders, tmp_path, monkeypatch) -> None:
    sizes, folder = releases.sizes("cogact"), folders["cogact"]
    with pytest.raises(PolicyError, match="bridge_orig"):
        load_released(folder, Options(data="fractal"), sizes=sizes)
    with pytest.raises(PolicyError, match=r"nowhere.*Llama-2"):
        load_released(folder, Options(tokenizer="nowhere"), sizes=sizes)
    with pytest.raises(PolicyError, match="dtype"):
        load_released(folder, Options(dtype="int8"), sizes=sizes)
    (tmp_path / "config.json").write_text(json.dumps({"vla": {"base_vlm": "prism-clip+7b"}}))
    with pytest.raises(PolicyError, match="vision towers"):
        load_released(tmp_path, sizes=sizes)
    (tmp_path / "lean_vla.json").write_text(json.dumps({"datta": "bridge_orig"}))
    with pytest.raises(PolicyError, match="datta"):
        load_released(tmp_path, sizes=sizes)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(PolicyError, match="neither a folder"):
        load_released(tmp_path / "not here", sizes=sizes)


def test_a_checkpoint_of_the_released_sizes_is_told_by_its_shapes(folders) -> None:
    """A small one is not CogACT-Base: the first thing that differs is named."""
    with pytest.raises(PolicyError, match="width of the DiT: got 24"):
        checkpoint.load_policy(folders["cogact"])
    with pytest.raises(PolicyError, match=r"no language_model\.model\.layers"):
        checkpoint.load_policy(folders["openvla"])


def test_a_released_policy_is_not_saved_as_one_of_ours(policies, tmp_path) -> None:
    with pytest.raises(PolicyError, match="openvla"):
        checkpoint.save_policy(policies["openvla"], tmp_path)


def test_openvla_7b_has_as_many_parameters_as_the_released_file() -> None:
    """15 082 474 368 bytes of bfloat16, by its model.safetensors.index.json."""
    released = PrismaticConfig()
    config = replace(
        releases.sizes("openvla"),
        dino=released.dino,
        siglip=released.siglip,
        language=replace(LLAMA, vocabulary=32064),
        image_size=224,
    )
    with torch.device("meta"):
        network = PrismaticNetwork(config)
    count = sum(value.numel() for value in network.state_dict().values())
    count += sum(int(np.prod(shape)) for shape in layout.unused(config).values())
    assert 2 * count == 15_082_474_368


def test_deltas_are_accumulated_from_the_observed_pose() -> None:
    actions = DeltaActions(-np.ones(7), np.ones(7), np.ones(7, bool), 0.088, False)
    steps = np.zeros((1, 4, 7))
    still = actions.write_targets(STATE[None].astype(float), steps)
    np.testing.assert_allclose(still[0, :, :6], np.tile(STATE[:6], (4, 1)), atol=1e-6)
    steps[0, :, 0], steps[0, :, 5], steps[0, :, 6] = 0.01, 0.1, 1.0
    moved = actions.write_targets(STATE[None].astype(float), steps)[0]
    np.testing.assert_allclose(moved[:, 0], STATE[0] + 0.01 * np.arange(1, 5), atol=1e-6)
    turned = Rotation.from_rotvec(moved[:, 3:6]) * Rotation.from_rotvec(STATE[3:6]).inv()
    expected = 0.1 * np.arange(1, 5)[:, None] * np.array([[0.0, 0.0, 1.0]])
    np.testing.assert_allclose(turned.as_rotvec(), expected, atol=1e-6)
    assert moved[:, 6] == pytest.approx(0.088)


def test_a_long_instruction_keeps_the_end_of_the_prompt(policies) -> None:
    policy = policies["cogact"]
    prompt = policy.prompt("red " * 300)
    assert len(prompt) == policy.config.language.max_text
    assert prompt[-5:] == [*ids("it")[-4:], 2]
