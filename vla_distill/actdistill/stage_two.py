"""Stage 2: the student learns the task with fewer layers, and what each layer should mean.

ActDistill, arXiv 2511.18082: L = L_action + sum_l w_l (alpha L_sem + beta L_act) + the budget.
L_action is all that the teacher's own training minimises, the losses on scenes and pointers too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from accelerate.utils import DistributedDataParallelKwargs, KwargsHandler
from numpy.typing import NDArray
from torch import Tensor

from vla_distill.actdistill import losses
from vla_distill.actdistill.config import StudentConfig
from vla_distill.actdistill.gates import GATES, Draw, Gates
from vla_distill.actdistill.reader import LayerReader
from vla_distill.actdistill.stage_one import READER, plain_network, teacher_states
from vla_distill.actdistill.states import Trace
from vla_distill.actdistill.targets import TargetCache
from vla_distill.dataset import FrameStore
from vla_distill.training.objective import Objective
from vla_distill.training.samples import Batch
from vla_distill.training.thinning import draw_tokens
from vla_distill.training.trainer import Trainer
from vla_policy.checkpoint import load_policy
from vla_policy.efficiency.acceleration import fitted
from vla_policy.efficiency.plan import RecipePlan
from vla_policy.efficiency.recipe import Recipe
from vla_policy.efficiency.steps.few_steps import FewSteps
from vla_policy.model import flops
from vla_policy.model.actions import ACTION_SIZE
from vla_policy.model.config import ModelConfig, RouterConfig
from vla_policy.model.network import Condition, NetworkInputs, VlaNetwork
from vla_policy.model.policy import VlaPolicy

CALIBRATION_ROWS = 512
"""Frames on which a router's thresholds are measured."""
TEXT_TOKENS = 8
"""Words of a usual instruction of the suite, where a layer's cost is counted."""


@dataclass(frozen=True)
class TaughtBatch(Batch):
    """A batch with what the teacher says of it.

    Attributes:
        progress: share of the way to settled routes. Shape ().
        semantics: the teacher's semantic vectors. Shape (B, layers, semantics), or None.
        layer_actions: the teacher's probes. Shape (B, layers, T, 10), or None.
    """

    progress: Tensor | None = None
    semantics: Tensor | None = None
    layer_actions: Tensor | None = None


class StudentObjective(Objective):
    """The student with all its losses.

    Args:
        network: what is trained.
        config: weights of the losses.
        scenes: whether batches say what is where.
        reader: of stage 1, if the student imitates what it reads.
        teacher: if the student imitates its states.
    """

    config: StudentConfig

    def __init__(
        self,
        network: VlaNetwork,
        config: StudentConfig,
        scenes: bool,
        reader: LayerReader | None,
        teacher: VlaNetwork | None,
    ) -> None:
        super().__init__(network, config, scenes)
        # In tuples they are no part of this module: neither trained, nor averaged, nor saved.
        self._reader, self._teacher = (reader,), (teacher,)
        self._costs = layer_costs(network.config)

    def forward(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of a batch.

        Returns:
            What :class:`Objective` returns, and ``semantic`` and ``probes`` or ``hidden``, before
            their weights; of gates that are drawn ``layers`` (share of the cost that ran),
            ``budget``, ``gate_variation``, and of a router ``gate_entropy``.
        """
        assert isinstance(batch, TaughtBatch) and batch.progress is not None
        gates = GATES[self.config.gates](self._draw(float(batch.progress), generator))
        if self.training and self.config.thin:
            gates.tokens = draw_tokens(self.config, self.network.config, generator)
        trace = Trace(gates)
        visual, condition = self.look(batch, generator, trace)  # type: ignore[arg-type]
        found = self.losses(batch, visual, condition, generator)
        terms = [self._budget(gates, found)]
        if not gates.draw.settled:
            terms.append(self._imitation(batch, trace, condition, found))
        for loss, weight in terms:
            found["loss"] = found["loss"] + weight * loss
        return found

    def _draw(self, progress: float, generator: torch.Generator) -> Draw:
        config = self.config
        layers = self.network.config.language.layers
        settled = progress >= 1.0
        if settled or not self.training:
            return Draw(layers, config.budget, 0.0, generator, settled)
        budget = config.target(progress) if GATES[config.gates].falls else config.budget
        return Draw(layers, budget, config.gate_noise * (1.0 - progress), generator)

    def _imitation(
        self, batch: TaughtBatch, trace: Trace, condition: Condition, found: dict[str, Tensor]
    ) -> tuple[Tensor, float]:
        reader, teacher = self._reader[0], self._teacher[0]
        states = trace.states(condition.language)
        if reader is not None and batch.semantics is not None and batch.layer_actions is not None:
            weights = losses.depth_weights(len(states), self.config.depth_power)
            weights = weights.to(batch.semantics.device)
            semantics, actions = reader(states, trace.present)
            semantic = losses.semantic_loss(
                semantics, batch.semantics, self.config.similarity_weight
            )
            probes = losses.action_loss(actions, batch.layer_actions, batch.actions, batch.foretold)
            # The mean over the layers in the place of the paper's sum: then alpha and beta mean
            # the same for stacks of any depth.
            found["semantic"] = (weights * semantic).mean()
            found["probes"] = (weights * probes).mean()
            config = self.config
            return (
                config.semantic_weight * found["semantic"] + config.probe_weight * found["probes"]
            ), 1.0
        if teacher is not None:
            theirs, _ = teacher_states(teacher, batch, batch.images)
            found["hidden"] = losses.hidden_loss(
                states[-1].float(), theirs[-1].float(), trace.present[-1]
            )
            return found["hidden"], self.config.semantic_weight
        return found["loss"].new_zeros(()), 0.0

    def _budget(self, gates: Gates, found: dict[str, Tensor]) -> tuple[Tensor, float]:
        values = gates.values
        if values is None:  # layers that are dropped for good
            return found["loss"].new_zeros(()), 0.0
        costs = self._costs.to(values.device)
        found["layers"] = (values @ costs).mean()
        found["gate_variation"] = losses.gate_variation(values)
        if gates.logits is None:
            return found["loss"].new_zeros(()), 0.0
        found["gate_entropy"] = losses.gate_entropy(gates.logits)
        found["budget"] = losses.budget_loss(values, costs, gates.draw.budget)
        return found["budget"], self.config.budget_weight


def layer_costs(model: ModelConfig) -> Tensor:
    """Share of each language layer in the operations of the stack. Shape (layers,).

    Equal in a stack of equal layers over the same tokens; the budget asks here, so that it stays
    right for another.
    """
    tokens = model.visual_tokens
    costs = [flops.language_layer(model, tokens, TEXT_TOKENS)] * model.language.layers
    return torch.tensor(costs) / sum(costs)


class StudentTrainer(Trainer):
    """The run of stage 2; its ``policy`` folder holds the student with its recipe.

    Args:
        config: what to do.
        frames: the demonstrations.
        seeds: of the episodes, see Trainer.
        reader: of stage 1, where the student imitates what it reads.

    Raises:
        PolicyError: the teacher follows a recipe, or has a router.
        DistillError: the cache is of another teacher, reader or dataset; or what Trainer says.
    """

    curves = ("velocity", "grounding_cm", "semantic", "probes", "layers", "gate_variation")
    free = Trainer.free | {"graph", "cache", "head_steps"}
    config: StudentConfig

    def __init__(
        self,
        config: StudentConfig,
        frames: FrameStore,
        seeds: NDArray[np.int64] | None,
        reader: LayerReader | None,
    ) -> None:
        self._reader = reader
        super().__init__(config, frames, seeds)
        self._teacher = load_policy(config.teacher, str(self.accelerator.device))
        self._targets = self._open_targets() if reader is not None else None

    def _processes(self) -> list[KwargsHandler]:
        # Where routes stand, a layer that no row of a process runs gets no gradient there.
        return [DistributedDataParallelKwargs(find_unused_parameters=self.config.settled > 0)]

    def _network(self, start: VlaPolicy | None) -> VlaNetwork:
        teacher = plain_network(start, self.config)
        if not GATES[self.config.gates].routed:
            if self.config.gates == "deepest":
                layers = teacher.language.layers
                for layer in layers[max(1, round(self.config.budget * len(layers))) :]:
                    layer.requires_grad_(False)  # never runs: no process shall wait for a gradient
            return teacher
        router = RouterConfig(self.config.router_width)
        network = VlaNetwork(replace(teacher.config, router=router))
        network.load_state_dict(teacher.state_dict(), strict=False)  # all but the router
        return network

    def _objective(self, network: VlaNetwork, scenes: bool) -> StudentObjective:
        teacher = None
        if self.config.imitates == "hidden":
            teacher = load_policy(self.config.teacher, str(self.accelerator.device)).network
            teacher.requires_grad_(False)
        if self._reader is not None:
            self._reader.to(self.accelerator.device)
        return StudentObjective(network, self.config, scenes, self._reader, teacher)

    def _open_targets(self) -> TargetCache:
        config, model, frames = self.config, self.model, self.samples.frames
        layers, main = model.language.layers, self.accelerator.is_main_process
        key = {
            "teacher": self._teacher.policy_hash,
            "reader": hashlib.sha256((config.graph_folder / READER).read_bytes()).hexdigest()[:12],
            "data": frames.content_hash,
        }
        shapes = {
            "semantics": (layers, config.semantics),
            "layer_actions": (layers, model.horizon, ACTION_SIZE),
        }
        arguments = config.cache_folder, key, shapes, len(frames)
        if main:
            TargetCache(*arguments)
        self.accelerator.wait_for_everyone()
        return TargetCache(*arguments, create=False)

    def _prepared(self, rows: NDArray[np.int64], batch: Batch) -> TaughtBatch:
        given = {field.name: getattr(batch, field.name) for field in fields(Batch)}
        progress = self.config.progress(self.step)
        taught = TaughtBatch(**given, progress=torch.tensor(progress))
        if self._targets is not None and progress < 1.0:
            found = self._targets.get(rows, self._read)
            tensors = {name: torch.from_numpy(values) for name, values in found.items()}
            taught = replace(taught, **tensors)
        return taught.to(self.accelerator.device)

    @torch.no_grad()
    def _read(self, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """What the clean teacher says of some frames."""
        assert self._reader is not None
        batch = self._load(rows)
        states, trace = teacher_states(self._teacher.network, batch, batch.images)
        semantics, actions = self._reader(states, trace.present)
        return {"semantics": semantics.cpu().numpy(), "layer_actions": actions.cpu().numpy()}

    def policy(self) -> VlaPolicy:
        """The averaged student, that runs the layers which its gates choose."""
        plain = super().policy()
        device = self.accelerator.device
        network = plain.network.to(device)
        methods = [GATES[self.config.gates].at_inference(self.config.budget)]
        if self.config.head_steps:
            methods.append(FewSteps(self.config.head_steps))
        recipe = Recipe("student", tuple(methods), origin=self._teacher.policy_hash)
        recipe = fitted(recipe, network, self._inputs())
        return VlaPolicy(
            network,
            plain.tokenizer,
            plain.statistics,
            device=str(device),
            plan=RecipePlan(network.config, recipe),
        )

    def _inputs(self) -> list[NetworkInputs]:
        """Frames of the training part, to measure thresholds on; always the same."""
        rows = self.samples.draw(-1 % 2**32, CALIBRATION_ROWS, self.config.seed)
        parts = np.array_split(rows, max(len(rows) // self.config.batch, 1))
        batches = (self._load(part) for part in parts)
        return [NetworkInputs(b.images, b.text, b.text_mask, b.state) for b in batches]

    def _card(self) -> str:
        from vla_distill.evaluation.machine import command, commit

        config = self.config
        return f"""# A student of {config.teacher}

{config.budget:.0%} of the language layers on average (`recipe.json` says how they are chosen);
gates: {config.gates}, imitates: {config.imitates}, seed {config.seed}, {config.steps} steps of
{config.batch} samples of {", ".join(config.data)}.

Made by `{command()}` at commit {commit() or "unknown"}.
"""
