"""What teaching a student is made of; read from YAML."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from vla_distill.actdistill.gates import GATES
from vla_distill.errors import DistillError
from vla_distill.training.config import TrainConfig

IMITATES = ("graph", "hidden", "nothing")


@dataclass(frozen=True)
class StudentConfig(TrainConfig):
    """A student's training. What it shares with any training is said at TrainConfig.

    Attributes:
        teacher: folder of the policy that the student begins as and is taught by; is ``init``.
        budget: share of the language stack's operations that shall be left on average.
        gates: which layers run: ``router``, ``top_k`` (MoLe-VLA's rule), ``random``, ``deepest``
            (the deepest are dropped).
        imitates: ``graph`` (what each layer means for the action), ``hidden`` (the last layer's
            states, plain distillation), ``nothing``.
        semantic_weight: alpha of the paper; with ``hidden`` the weight of that loss.
        probe_weight: beta, of the action probes of each layer; 0 is the ablation without them.
        similarity_weight: eta, of the similarities within a batch; 0 is the ablation without them.
        depth_power: gamma, how much more deep layers count.
        budget_weight: of the squared difference to the budget.
        budget_fall: share of the way to settled routes in which the budget falls from everything.
        gate_noise: logistic noise on the scores at the first step [logit]; falls linearly to 0.
        settled: share of the steps, at the end, in which the routes stand: the router learns no
            more, nothing is imitated, and only the layers that run are computed, so that a step
            costs what is left of the network. Budget and noise have fallen by then.
        router_width: hidden layer of the router.
        head_steps: denoising steps of the student; 0 leaves the teacher's. Training draws times at
            random, so it changes nothing there.
        graph_steps: optimiser steps of stage 1.
        graph_learning_rate: of stage 1.
        graph_width: width of nodes.
        graph_layers: graph attention layers; 0 is the ablation without the graph.
        graph_heads: heads of each.
        graph_edges: neighbours of a node.
        semantics: size of a layer's semantic vector.
        graph: folder of stage 1; empty takes ``graph`` in ``out``. Shared by students of one seed.
        cache: folder of the teacher's targets; empty takes ``targets`` in ``out``. Shared too.
    """

    steps: int = 5500
    batch: int = 48
    learning_rate: float = 1.5e-3
    optimizer: str = "muon"
    warmup: int = 60
    decay: float = 0.6
    thin: float = 0.4
    thin_tokens: float = 0.2
    teacher: str = "checkpoints/teacher"
    budget: float = 0.25
    gates: str = "router"
    imitates: str = "graph"
    semantic_weight: float = 1.0
    probe_weight: float = 1.0
    similarity_weight: float = 0.5
    depth_power: float = 2.0
    budget_weight: float = 10.0
    budget_fall: float = 0.5
    gate_noise: float = 1.0
    settled: float = 0.86
    router_width: int = 64
    head_steps: int = 2
    graph_steps: int = 400
    graph_learning_rate: float = 1e-3
    graph_width: int = 128
    graph_layers: int = 2
    graph_heads: int = 4
    graph_edges: int = 8
    semantics: int = 128
    graph: str = ""
    cache: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "init", self.teacher)
        for name, known in (("gates", sorted(GATES)), ("imitates", list(IMITATES))):
            if getattr(self, name) not in known:
                raise DistillError(name, got=getattr(self, name), expected=f"one of {known}")
        if self.thin and self.imitates == "hidden":
            raise DistillError(
                "thin", got=self.thin, expected="0 with imitates: hidden, which compares all tokens"
            )
        if self.thin_order:
            raise DistillError("thin_order", got=self.thin_order, expected="none: gates choose")
        if not 0.0 < self.budget < 1.0:
            raise DistillError("budget", got=self.budget, expected="a share between 0 and 1")
        self._hold(
            "0 or more", lambda v: 0 <= v < math.inf, "semantic_weight", "probe_weight",
            "similarity_weight", "depth_power", "budget_weight", "gate_noise", "head_steps",
            "graph_layers",
        )  # fmt: skip
        self._hold("a share from 0 to 1", lambda v: 0 <= v <= 1, "budget_fall")
        self._hold("a share from 0, below 1", lambda v: 0 <= v < 1, "settled")
        self._hold("above 0", lambda v: 0 < v < math.inf, "graph_learning_rate")
        self._hold(
            "at least 1", lambda v: v >= 1, "router_width", "graph_steps", "graph_width",
            "graph_heads", "graph_edges", "semantics",
        )  # fmt: skip
        if self.graph_width % self.graph_heads:
            raise DistillError(
                "graph_width", got=self.graph_width, expected=f"a multiple of {self.graph_heads}"
            )

    @property
    def graph_folder(self) -> Path:
        """Where stage 1 is, or goes."""
        return Path(self.graph) if self.graph else Path(self.out) / "graph"

    @property
    def cache_folder(self) -> Path:
        """Where the teacher's targets are, or go."""
        return Path(self.cache) if self.cache else Path(self.out) / "targets"

    def progress(self, step: int) -> float:
        """Share of the way to settled routes; 1 where they stand."""
        return min(step / (self.steps * (1.0 - self.settled)), 1.0)

    def target(self, progress: float) -> float:
        """The budget after a share ``progress`` of the way."""
        fallen = min(progress / self.budget_fall, 1.0) if self.budget_fall else 1.0
        return 1.0 - (1.0 - self.budget) * fallen

    def stage_one(self) -> StudentConfig:
        """The configuration of stage 1: the same for all students that can share it."""
        kept = (
            "data", "tasks", "seed", "batch", "optimizer", "weight_decay", "gradient_clip", "ema",
            "brightness", "contrast", "held_out", "precision", "threads", "log_every", "save_every",
            "teacher", "graph_steps", "graph_learning_rate", "graph_width", "graph_layers",
            "graph_heads", "graph_edges", "semantics",
        )  # fmt: skip
        return StudentConfig(
            **{name: getattr(self, name) for name in kept},
            thin=0.0,  # what a layer means is read off the teacher in full
            out=str(self.graph_folder),
            steps=self.graph_steps,
            learning_rate=self.graph_learning_rate,
        )
