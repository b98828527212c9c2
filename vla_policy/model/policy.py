"""The network as a :class:`vla_policy.contract.Policy`."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from vla_policy.contract import (
    ActionChunk,
    ComputeReport,
    Continuation,
    Memory,
    Observation,
)
from vla_policy.image_conversion import fit_image
from vla_policy.model import flops
from vla_policy.model.actions import Statistics
from vla_policy.model.config import preset
from vla_policy.model.guidance import Guidance, Prefix, prefix
from vla_policy.model.network import Condition, NetworkInputs, VlaNetwork
from vla_policy.model.plan import FullCompute, Plan
from vla_policy.model.tokenizer import tokenize, word_tokenizer


class VlaPolicy:
    """A network with its tokenizer and statistics, on a device.

    Where a memory has ``frozen_until``, the chunk goes on from the one before (real-time chunking).

    Args:
        network: the weights; put into eval mode.
        tokenizer: from words to ids.
        statistics: of the data that the network was trained on.
        policy_hash: identifies weights and recipe.
        device: where to compute, e.g. ``cpu`` or ``cuda:0``.
        plan: what is computed; everything by default.
    """

    continues_chunks = True
    """Whether a chunk can be made to go on from the one before."""

    def __init__(
        self,
        network: VlaNetwork,
        tokenizer: Tokenizer,
        statistics: Statistics,
        *,
        policy_hash: str = "untrained",
        device: str = "cpu",
        plan: Plan | None = None,
    ) -> None:
        self.network = network.eval().to(device)
        self.config = network.config
        self.tokenizer = tokenizer
        self.statistics = statistics
        self.policy_hash = policy_hash
        self.device = torch.device(device)
        self.plan = plan or FullCompute()

    @classmethod
    def random(cls, preset_name: str = "test", seed: int = 0) -> VlaPolicy:
        """An untrained policy, for tests and timing."""
        torch.manual_seed(seed)
        config = preset(preset_name)
        tokenizer = word_tokenizer(["pick", "up", "the", "red", "cube"])
        return cls(VlaNetwork(config), tokenizer, Statistics.identity(config.horizon))

    def altered(self, network: VlaNetwork, plan: Plan) -> VlaPolicy:
        """The same policy with another network and plan, not saved yet."""
        policy = copy.copy(self)
        policy.network, policy.config, policy.plan = network, network.config, plan
        policy.policy_hash = "untrained"
        return policy

    @property
    def cameras(self) -> Sequence[str]:
        """Names of the images, in the order of their tokens."""
        return self.config.cameras

    @property
    def image_size(self) -> int:
        """Side of the square images [px]."""
        return self.config.image_size

    @property
    def step_dt(self) -> float:
        """Time between targets [s]."""
        return self.config.step_dt

    @property
    def horizon(self) -> int:
        """Targets in a chunk."""
        return self.config.horizon

    def start(self, seed: int) -> Memory:
        """Begin an episode."""
        return Memory(seed=seed)

    @torch.inference_mode()
    def infer(
        self, observations: Sequence[Observation], memories: Sequence[Memory]
    ) -> list[ActionChunk]:
        """See :meth:`vla_policy.contract.Policy.infer`."""
        begin = time.perf_counter()
        for observation in observations:
            observation.validate(self.cameras)
        inputs = self.inputs(observations)
        plan = self.plan.begin(memories, inputs)
        noise = torch.from_numpy(self._noise(memories)).to(self.device)
        prefixes = [self._prefix(*pair) for pair in zip(observations, memories, strict=True)]
        guidance = self._guidance(observations, prefixes)
        ready = self._now()
        visual = self.network.see(inputs.images)
        seen = self._now()
        condition = self.network.think(visual, inputs.text, inputs.text_mask, inputs.state, plan)
        thought = self._now()
        actions, steps = self.network.head.sample(noise, condition.tokens, plan, guidance)
        drawn = self._now()
        states = _states(observations)
        targets = self.statistics.write_targets(states, actions.double().cpu().numpy())
        end = self._now()
        overhead = plan.overhead(self.config, inputs.text.shape[1])
        if guidance is not None:
            overhead += flops.guidance(self.config, *steps)
        times = begin, ready, seen, thought, drawn, end
        chunks = []
        for row, (observation, memory) in enumerate(zip(observations, memories, strict=True)):
            operations = overhead + self._operations(condition, row, inputs.text.shape[1], steps)
            report = self._report(condition, row, steps, operations, times)
            guided = prefixes[row] is not None
            chunks.append(self._chunk(observation, memory, targets[row], report, guided))
        return chunks

    def inputs(self, observations: Sequence[Observation]) -> NetworkInputs:
        """Observations as tensors on the policy's device."""
        features = self.statistics.read_state(_states(observations))
        ids, mask = tokenize(
            self.tokenizer,
            [o.instruction for o in observations],
            self.config.language.max_text,
        )
        return NetworkInputs(
            images=self._images(observations),
            text=ids.to(self.device),
            text_mask=mask.to(self.device),
            state=torch.from_numpy(features).to(self.device),
        )

    def _images(self, observations: Sequence[Observation]) -> torch.Tensor:
        size = self.image_size
        pixels = np.empty((len(observations), len(self.cameras), size, size, 3), np.uint8)
        for row, observation in enumerate(observations):
            for column, name in enumerate(self.cameras):
                pixels[row, column] = fit_image(observation.images[name], size)
        return normalise_pixels(torch.from_numpy(pixels).to(self.device))

    def _noise(self, memories: Sequence[Memory]) -> NDArray[np.float32]:
        shape = (self.horizon, self.network.head.action_size)
        return np.stack(
            [
                np.random.default_rng([m.seed, m.sequence]).standard_normal(shape, np.float32)
                for m in memories
            ]
        )

    def _prefix(self, observation: Observation, memory: Memory) -> Prefix | None:
        """What the chunk before has fixed of the next one, if anything."""
        if not self.continues_chunks or memory.frozen_until is None or memory.previous is None:
            return None
        return prefix(
            memory.previous, observation.stamp, memory.frozen_until, self.horizon, self.step_dt
        )

    def _guidance(
        self, observations: Sequence[Observation], prefixes: Sequence[Prefix | None]
    ) -> Guidance | None:
        """The prefixes as the head takes them; None if there are none."""
        if not any(prefixes):
            return None
        shape = (len(prefixes), self.horizon)
        target = np.zeros((*shape, self.network.head.action_size), np.float32)
        weight = np.zeros((*shape, 1), np.float32)
        for row, fixed in enumerate(prefixes):
            if fixed is not None:
                state = _states(observations[row : row + 1])
                target[row] = self.statistics.read_actions(state, fixed.poses[None])[0]
                weight[row, :, 0] = fixed.weights
        return Guidance(*(torch.from_numpy(each).to(self.device) for each in (target, weight)))

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _operations(
        self, condition: Condition, row: int, text_tokens: int, steps: tuple[int, int]
    ) -> float:
        """What a row's chunk took, by what was answered [FLOP]."""
        config, language = self.config, condition.language
        layers = sum(
            flops.language_layer(
                config, language.visual_tokens[layer], text_tokens, language.reused_tokens[layer]
            )
            for layer in language.layers_run[row]
        )
        total, computed = steps
        return (
            flops.vision(config)
            + layers
            + flops.grounding(config, language.kept.shape[1])
            + computed * flops.head_step(config)
            + (total - computed) * flops.head_step(config, computed=False)
        )

    def _report(
        self,
        condition: Condition,
        row: int,
        steps: tuple[int, int],
        operations: float,
        times: tuple[float, ...],
    ) -> ComputeReport:
        spans = {
            name: 1e3 * (after - before)
            for name, before, after in zip(
                ("vision", "language", "head"), times[1:], times[2:], strict=False
            )
        }
        return ComputeReport(
            layers_run=condition.language.layers_run[row],
            visual_tokens=(self.config.visual_tokens, condition.language.kept.shape[1]),
            head_steps=steps,
            gflops=operations / 1e9,
            milliseconds={**spans, "total": 1e3 * (times[-1] - times[0])},
        )

    def _chunk(
        self,
        observation: Observation,
        memory: Memory,
        targets: NDArray[np.float32],
        report: ComputeReport,
        guided: bool,
    ) -> ActionChunk:
        continues = None
        if guided and memory.previous is not None and memory.frozen_until is not None:
            continues = Continuation(memory.previous.stamp, memory.frozen_until)
        chunk = ActionChunk(
            targets=targets,
            stamp=observation.stamp,
            step_dt=self.step_dt,
            sequence=memory.sequence,
            policy_hash=self.policy_hash,
            instruction=observation.instruction,
            seed=memory.seed,
            input_stamps=observation.input_stamps,
            report=report,
            continues=continues,
        )
        memory.sequence += 1
        memory.previous = chunk
        return chunk


def _states(observations: Sequence[Observation]) -> NDArray[np.float64]:
    return np.stack([o.state for o in observations]).astype(np.float64)


def normalise_pixels(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 images (..., H, W, 3) to float (..., 3, H, W) in [-1, 1]."""
    return pixels.movedim(-1, -3).float().div_(127.5).sub_(1.0)
