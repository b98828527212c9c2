"""Laws of the decoder layer's short way: it is Llama's layer, whatever became of its weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from test_efficiency import observations
from torch import Tensor
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

from vla_policy.checkpoint import load_policy
from vla_policy.contract import Observation
from vla_policy.efficiency.acceleration import accelerate
from vla_policy.efficiency.recipe import Recipe
from vla_policy.model.decoder_layer import DecoderLayer
from vla_policy.model.policy import VlaPolicy
from vla_policy.model.walk import PastKeys, causal_mask

WIDTH, TOKENS = 32, 9
CHECKPOINTS = Path(__file__).parents[3] / "checkpoints"


def config(**options: object) -> LlamaConfig:
    sizes = {"hidden_size": WIDTH, "intermediate_size": 48, "num_attention_heads": 4}
    llama = LlamaConfig(**{**sizes, **options})
    llama._attn_implementation = "eager"
    return llama


def layer(**options: object) -> DecoderLayer:
    torch.manual_seed(0)
    made = DecoderLayer(config(**options), 0).eval()
    for parameter in made.parameters():  # norms and biases as well
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def both_ways(of: DecoderLayer) -> tuple[Tensor, Tensor]:
    """States of two rows, one of them padded, on the short way and on Llama's."""
    dtype = of.input_layernorm.weight.dtype
    hidden = torch.randn(2, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1)).to(dtype)
    present = torch.ones(2, TOKENS, dtype=torch.bool)
    present[1, :3] = False
    rotary = LlamaRotaryEmbedding(of.self_attn.config)(hidden, torch.arange(TOKENS).expand(2, -1))
    given = {"attention_mask": causal_mask(present, dtype), "position_embeddings": rotary}
    with torch.no_grad():
        llamas = LlamaDecoderLayer.forward(of, hidden, **given)
    with torch.inference_mode():
        return of(hidden, **given), llamas


def assert_same(of: DecoderLayer, tolerance: float = 2e-6) -> Tensor:
    """By the largest state, since rounding is relative."""
    short, llamas = both_ways(of)
    assert (short - llamas).abs().max() <= tolerance * llamas.abs().max()
    return short


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_key_value_heads": 2},
        {"num_key_value_heads": 1, "head_dim": 16},
        {"attention_bias": True, "mlp_bias": True},
        {"hidden_act": "gelu", "rms_norm_eps": 1e-2},
    ],
    ids=["plain", "grouped", "one_key", "bias", "others"],
)
def test_the_short_way_is_llamas(options: dict[str, object]) -> None:
    assert_same(layer(**options))


def test_it_is_taken_in_inference_mode_alone() -> None:
    seen: list[object] = []
    of = layer()
    of.mlp.register_forward_hook(lambda *_: seen.append(0))
    both_ways(of)
    assert len(seen) == 1  # Llama's way only
    of.train()
    both_ways(of)
    assert len(seen) == 3


def test_gradients_reach_every_weight() -> None:
    of, hidden = layer(), torch.randn(1, TOKENS, WIDTH)
    rotary = LlamaRotaryEmbedding(config())(hidden, torch.arange(TOKENS)[None])
    of(hidden, position_embeddings=rotary).square().sum().backward()
    assert all(each.grad is not None and each.grad.any() for each in of.parameters())


def changed_in_place(of: DecoderLayer) -> DecoderLayer:
    of.self_attn.k_proj.weight.data.mul_(2.0)
    of.mlp.up_proj.weight.data[::2] = 0.0
    return of


def loaded(of: DecoderLayer) -> DecoderLayer:
    of.load_state_dict({name: 0.5 * value for name, value in of.state_dict().items()})
    return of


def assigned(of: DecoderLayer) -> DecoderLayer:
    halved = {name: 0.5 * value for name, value in of.state_dict().items()}
    of.load_state_dict(halved, assign=True)
    return of


def copied(of: DecoderLayer) -> DecoderLayer:
    return changed_in_place(copy.deepcopy(of))


@pytest.mark.parametrize("change", [changed_in_place, loaded, assigned, copied])
def test_it_never_knows_old_weights(change: Callable[[DecoderLayer], DecoderLayer]) -> None:
    of = layer()
    before = assert_same(of)
    after = assert_same(change(of))
    assert not torch.allclose(before, after, atol=1e-2)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.bfloat16, 2e-2)])
def test_it_moves_with_its_weights(dtype: torch.dtype, tolerance: float) -> None:
    # Llama norms in float32, whatever the weights are.
    of = layer()
    assert_same(of)
    assert assert_same(of.to(dtype), tolerance).dtype == dtype


@torch.inference_mode()
def test_tokens_one_by_one_are_tokens_together() -> None:
    of, past = layer(num_key_value_heads=2), PastKeys()
    hidden = torch.randn(1, TOKENS, WIDTH)
    cosine, sine = LlamaRotaryEmbedding(config())(hidden, torch.arange(TOKENS)[None])
    mask = causal_mask(torch.ones(1, TOKENS, dtype=torch.bool), hidden.dtype)
    together = of(hidden, attention_mask=mask, position_embeddings=(cosine, sine))
    for at in range(TOKENS):
        here = slice(at, at + 1)
        alone = of(
            hidden[:, here],
            attention_mask=mask[:, :, here, : at + 1],
            position_embeddings=(cosine[:, here], sine[:, here]),
            past_key_values=past,
        )
        torch.testing.assert_close(alone, together[:, here], rtol=1e-5, atol=1e-5)


def actions(policy: VlaPolicy, seen: list[Observation]) -> np.ndarray:
    return np.stack([policy.infer([each], [policy.start(0)])[0].targets for each in seen])


def assert_policy_same(policy: VlaPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = observations(4, policy.image_size)
    short = actions(policy, seen)
    with monkeypatch.context() as patch:
        patch.setattr(DecoderLayer, "forward", LlamaDecoderLayer.forward)
        llamas = actions(policy, seen)
    np.testing.assert_allclose(short, llamas, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["teacher", "student"])
def test_shipped_policies_act_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_policy_same(load_policy(CHECKPOINTS / name), monkeypatch)


def test_a_narrowed_policy_acts_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = VlaPolicy.random("test")
    torch.nn.init.normal_(plain.network.head.out.weight)
    assert_policy_same(plain, monkeypatch)
    methods = {"methods": {"mlp_sparsity": {"share": 0.5}, "task_diversity": {"keep": 4, "at": 1}}}
    narrow = accelerate(plain, Recipe.from_dict(methods), observations(4))
    assert_policy_same(narrow, monkeypatch)
