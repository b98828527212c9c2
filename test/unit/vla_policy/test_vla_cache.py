"""Laws of VLA-Cache: what stands still is reused, and what does not never is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vla_policy.contract import ActionChunk, Memory, Observation
from vla_policy.efficiency.acceleration import accelerate
from vla_policy.efficiency.guard import Guard
from vla_policy.efficiency.recipe import Recipe
from vla_policy.efficiency.reuse.frame import cut
from vla_policy.efficiency.reuse.vla_cache import VlaCache
from vla_policy.errors import PolicyError
from vla_policy.model.policy import VlaPolicy

SIZE = 32
PATCH = 16
STATE = np.array([0.3, 0.0, 0.2, 0.0, 1.5, 0.1, 0.05, 0.08], np.float32)


@pytest.fixture(scope="module")
def plain() -> VlaPolicy:
    policy = VlaPolicy.random("test")
    torch.nn.init.normal_(policy.network.head.out.weight)
    return policy


def cached(plain: VlaPolicy, **options: object) -> VlaPolicy:
    """Reuses all that looks the same, from the second layer on."""
    methods = {"vla_cache": {"reuse": 8, "at": 1, "drift": 9.0, **options}}
    return accelerate(plain, Recipe.from_dict({"methods": methods}), [])


def scene(object_at: int = 0, seed: int = 0, **given: object) -> Observation:
    """A textured table; a plain grey object hides one patch of the front camera's image."""
    rng = np.random.default_rng(seed)
    images = {n: rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8) for n in ("front", "wrist")}
    row, column = divmod(object_at, SIZE // PATCH)
    images["front"][row * PATCH :, column * PATCH :][:PATCH, :PATCH] = 200
    return replace(Observation(images, STATE, "pick up the red cube", 1.0), **given)


def one(policy: VlaPolicy, seen: Observation, memory: Memory) -> ActionChunk:
    return policy.infer([seen], [memory])[0]


def as_new(policy: VlaPolicy, seen: Observation, memory: Memory) -> ActionChunk:
    """The chunk of an episode that remembers nothing."""
    return one(policy, seen, replace(memory, store={}))


def reused(policy: VlaPolicy, seen: Observation, memory: Memory) -> list[int]:
    """Visual tokens that would be reused now; the memory stays as it is."""
    inputs = policy.inputs([seen])
    plan = policy.plan.begin([replace(memory)], inputs)
    found: list[int] = []
    ask = plan.reuse_tokens

    def listen(layer, tokens):
        answer = ask(layer, tokens)
        if answer is not None:
            found.extend(answer._reused[0].nonzero()[:, 0].tolist())
        return answer

    plan.reuse_tokens = listen
    with torch.inference_mode():
        visual = policy.network.see(inputs.images)
        policy.network.think(visual, inputs.text, inputs.text_mask, inputs.state, plan)
    return found


def test_the_first_frame_is_the_plain_policys_to_the_bit(plain: VlaPolicy) -> None:
    chunks = [one(p, scene(), p.start(3)) for p in (plain, cached(plain))]
    assert chunks[0].targets.tobytes() == chunks[1].targets.tobytes()
    assert chunks[0].report.gflops == chunks[1].report.gflops


def test_where_nothing_stands_still_all_is_computed_to_the_bit(plain: VlaPolicy) -> None:
    policy = cached(plain)
    memories = plain.start(0), policy.start(0)
    for seed in range(3):
        a, b = (one(p, scene(seed=seed), m) for p, m in zip((plain, policy), memories))
        assert a.targets.tobytes() == b.targets.tobytes()


def test_a_still_scene_gives_the_same_chunk_for_less(plain: VlaPolicy) -> None:
    policy = cached(plain)
    memory, other = policy.start(0), plain.start(0)
    for number in range(4):
        chunk, full = one(policy, scene(), memory), one(plain, scene(), other)
        # Not to the bit: fewer rows in a matrix product may be summed up in another order.
        np.testing.assert_allclose(chunk.targets, full.targets, atol=1e-5)
        assert (chunk.report.gflops < full.report.gflops) == (number > 0)
        assert chunk.report.visual_tokens == full.report.visual_tokens


def test_an_object_that_moved_is_seen_where_it_is(plain: VlaPolicy) -> None:
    """Both where it went and where it was are computed; the rest of the table is not."""
    policy = cached(plain)
    memory = policy.start(0)
    one(policy, scene(object_at=0), memory)
    assert reused(policy, scene(object_at=1), memory) == [2, 3, 4, 5, 6, 7]


def test_a_chunk_follows_the_object_not_the_memory(plain: VlaPolicy) -> None:
    policy = cached(plain, drift=0.1)
    memory, behind = policy.start(0), []
    one(policy, scene(object_at=0), memory)
    for place in (1, 3, 2, 0):
        now = as_new(plain, scene(object_at=place), memory)
        stale = as_new(plain, scene(object_at=(place + 1) % 4), memory)
        chunk = one(policy, scene(object_at=place), memory)
        gap = np.abs(chunk.targets - now.targets).max()
        behind.append(gap / np.abs(stale.targets - now.targets).max())
    assert max(behind) < 0.5


def test_a_still_patch_that_means_something_else_is_computed(plain: VlaPolicy) -> None:
    """The vision tower looks at the whole picture, so its neighbours are in a token as well."""
    memory = plain.start(0)
    one(cached(plain), scene(object_at=0), memory)
    counts = [
        len(reused(cached(plain, drift=drift), scene(object_at=1), memory))
        for drift in (0.0, 0.2, 9.0)
    ]
    assert counts[0] == 0 and counts == sorted(counts) and counts[2] == 6


def test_a_plain_grey_object_on_a_plain_white_table_is_seen(plain: VlaPolicy) -> None:
    """The cosine of two even patches is 1 whatever their grey."""
    policy = cached(plain)
    memory = policy.start(0)
    blank = {name: np.full((SIZE, SIZE, 3), 255, np.uint8) for name in ("front", "wrist")}
    one(policy, scene(images=blank), memory)
    grey = {name: image.copy() for name, image in blank.items()}
    grey["front"][:PATCH, :PATCH] = 128
    assert 0 not in reused(policy, scene(images=grey), memory)


def test_what_changes_a_little_in_each_frame_is_computed_at_last(plain: VlaPolicy) -> None:
    """A patch is compared with what it was computed from, not with the last frame."""
    policy = cached(plain, refresh=100, tolerance=4.5)
    memory, left_out = policy.start(0), []
    for step in range(9):
        front = np.full((SIZE, SIZE, 3), 100, np.uint8)
        front[:PATCH, :PATCH] += step
        seen = scene(images={"front": front, "wrist": front})
        left_out.append(0 in reused(policy, seen, memory))
        one(policy, seen, memory)
    assert left_out == [False, True, True, True, True, False, True, True, True]


def test_another_instruction_drops_it(plain: VlaPolicy) -> None:
    policy = cached(plain)
    memory, other = policy.start(0), scene(instruction="the red cube")
    one(policy, scene(), memory)
    assert reused(policy, scene(), memory) and not reused(policy, other, memory)
    fresh = as_new(plain, other, memory)
    assert one(policy, other, memory).targets.tobytes() == fresh.targets.tobytes()


def test_a_camera_that_changed_is_dropped_with_those_after_it(plain: VlaPolicy) -> None:
    policy = cached(plain)
    memory, base, new = policy.start(0), scene().images, scene(seed=1).images
    one(policy, scene(), memory)
    front = scene(images={"front": new["front"], "wrist": base["wrist"]})
    wrist = scene(images={"front": base["front"], "wrist": new["wrist"]})
    assert reused(policy, front, memory) == []
    assert reused(policy, wrist, memory) == [0, 1, 2, 3]


def test_all_is_computed_again_now_and_then(plain: VlaPolicy) -> None:
    policy = cached(plain, refresh=3)
    memory = policy.start(0)
    costs = [one(policy, scene(), memory).report.gflops for _ in range(7)]
    assert [cost == costs[0] for cost in costs] == [True, False, False] * 2 + [True]


def test_what_is_attended_to_most_is_always_computed(plain: VlaPolicy) -> None:
    memory = plain.start(0)
    counts = []
    for most in (8, 5, 1):
        policy = cached(plain, reuse=most)
        memory = policy.start(0)
        one(policy, scene(), memory)
        counts.append(reused(policy, scene(), memory))
    assert [len(found) for found in counts] == [8, 5, 1]
    assert set(counts[2]) < set(counts[1])


def test_rows_that_reuse_differently_are_computed_as_if_alone(plain: VlaPolicy) -> None:
    policy = cached(plain)
    first = [scene(0), scene(1), scene(2, instruction="red"), scene(3)]
    later = [scene(0), scene(0), scene(1, instruction="red"), scene(3, seed=5)]
    together = [policy.start(row) for row in range(4)]
    policy.infer(first, together)
    chunks = policy.infer(later, together)
    for row, chunk in enumerate(chunks):
        memory = policy.start(row)
        one(policy, first[row], memory)
        alone = one(policy, later[row], memory)
        np.testing.assert_allclose(chunk.targets, alone.targets, atol=2e-4)


def test_the_memory_belongs_to_the_caller(plain: VlaPolicy) -> None:
    """Two episodes do not mix, and a copy from before a chunk stays what it was."""
    policy = cached(plain)
    one_memory, other = policy.start(0), policy.start(0)
    one(policy, scene(), one_memory)
    before = replace(one_memory)
    again = one(policy, scene(object_at=1), one_memory)
    assert one(policy, scene(object_at=1), before).targets.tobytes() == again.targets.tobytes()
    assert not reused(policy, scene(), other)


def test_no_reuse_is_the_plain_policy_and_what_the_guard_compares_with(plain: VlaPolicy) -> None:
    policy = cached(plain)
    guard = Guard(policy, clock=lambda: 0.0)
    guard.every, guard.spare = 1, 1e9
    memory = policy.start(0)
    one(policy, scene(object_at=0), memory)
    before = replace(memory)
    chunk = one(policy, scene(object_at=1), memory)
    found = guard.look(scene(object_at=1), before, chunk)
    assert found is not None and found.millimetres > 0.0
    policy.plan.budget = replace(policy.plan.budget, reused_tokens=0)
    assert not reused(policy, scene(), memory)


def test_other_layers_drop_it(plain: VlaPolicy) -> None:
    """A layer that did not run has left no keys behind."""
    methods = {"vla_cache": {"reuse": 8, "at": 1}, "deepest_layers": {"keep": 2}}
    policy = accelerate(plain, Recipe.from_dict({"methods": methods}), [])
    memory = policy.start(0)
    one(policy, scene(), memory)
    assert reused(policy, scene(), memory)
    policy.plan.budget = replace(policy.plan.budget, language_layers=3)
    assert not reused(policy, scene(), memory)


def test_a_patch_is_what_its_token_looks_at() -> None:
    images = torch.arange(2 * 3 * 4 * 4.0).view(1, 2, 3, 4, 4)
    patches = cut(images, 2)
    assert patches.shape == (1, 2, 4, 12)
    expected = images[0, 1, :, 2:, :2].flatten()  # second row, first column
    assert torch.equal(patches[0, 1, 2], expected)


@pytest.mark.parametrize("options", [{"at": 3}, {"reuse": 9}, {"reuse": 0}, {"nonsense": 1}])
def test_options_that_do_not_fit_are_refused(plain: VlaPolicy, options: dict) -> None:
    with pytest.raises(PolicyError, match=f"{VlaCache.name}.*{next(iter(options))}"):
        cached(plain, **options)
