"""A compiled policy answers as the plain one, for any instruction, and can be made plain again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from vla_policy.contract import ActionChunk, Observation
from vla_policy.model.compiled import compile_pieces
from vla_policy.model.policy import VlaPolicy

SENTENCES = ("pick up the red cube", "pick the cube up", "the red cube up the red cube")


def chunks(policy: VlaPolicy, frozen: float | None = None) -> list[ActionChunk]:
    """Two chunks of an episode for each sentence."""
    found = []
    for sentence in SENTENCES:
        memory = policy.start(3)
        for stamp in (0.0, 0.2):
            memory.frozen_until = frozen
            found += policy.infer([observation(policy, sentence, stamp)], [memory])
    return found


def observation(policy: VlaPolicy, sentence: str, stamp: float) -> Observation:
    random = np.random.default_rng(0)
    size = (policy.image_size, policy.image_size, 3)
    images = {name: random.integers(0, 256, size, np.uint8) for name in policy.cameras}
    state = np.array([0.3, 0.0, 0.25, 0.0, np.pi / 2, 0.0, 0.08, 0.08], np.float32)
    return Observation(images, state, sentence, stamp)


@pytest.fixture
def policy() -> VlaPolicy:
    """A random policy whose head answers."""
    made = VlaPolicy.random()
    torch.nn.init.normal_(made.network.head.out.weight, std=0.1)
    return made


@pytest.mark.parametrize("frozen", [None, 0.4])
def test_the_chunks_are_the_same(policy: VlaPolicy, frozen: float | None) -> None:
    plain = chunks(policy, frozen)
    compile_pieces(policy.network, backend="eager")
    for ours, theirs in zip(chunks(policy, frozen), plain, strict=True):
        np.testing.assert_allclose(ours.targets, theirs.targets, atol=1e-5)
        assert ours.report.gflops == theirs.report.gflops


def test_another_instruction_compiles_nothing_again(policy: VlaPolicy) -> None:
    torch._dynamo.reset()
    compile_pieces(policy.network, backend="eager")
    policy.infer([observation(policy, SENTENCES[0], 0.0)], [policy.start(0)])
    before = counters["stats"]["unique_graphs"]
    assert before > 0
    chunks(policy)
    assert counters["stats"]["unique_graphs"] == before


def test_plain_again(policy: VlaPolicy) -> None:
    plain = chunks(policy)
    compile_pieces(policy.network, backend="eager")()
    before = counters["stats"]["unique_graphs"]
    for ours, theirs in zip(chunks(policy), plain, strict=True):
        np.testing.assert_array_equal(ours.targets, theirs.targets)
    assert counters["stats"]["unique_graphs"] == before
