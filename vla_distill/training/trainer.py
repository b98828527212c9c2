"""The training loop, on Hugging Face Accelerate: one process or many, CPU or GPU."""

from __future__ import annotations

import json
import shutil
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import KwargsHandler, set_seed
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vla_distill.dataset import FrameStore
from vla_distill.json_lines import read_json_lines, write_json_lines
from vla_distill.training.config import TrainConfig
from vla_distill.training.curve import draw_curve
from vla_distill.training.folder import agree, alone, note
from vla_distill.training.muon import MuonAdamW, parameter_groups
from vla_distill.training.objective import Objective
from vla_distill.training.samples import Batch, Samples, Split
from vla_distill.training.scenes import Scenes
from vla_distill.training.words import learned_words, warn_of_cuts
from vla_distill.workers import end_with_starter
from vla_policy.checkpoint import load_policy, save_policy
from vla_policy.errors import PolicyError
from vla_policy.model.config import ModelConfig, preset
from vla_policy.model.network import VlaNetwork
from vla_policy.model.policy import VlaPolicy
from vla_policy.robot import see_robot
from vla_sim.constants import TRAIN_SEED_START

VALIDATION_ROWS = 256


class Trainer:
    """One run: draws batches, steps, logs, saves, resumes.

    Args:
        config: what to do.
        frames: the demonstrations.
        seeds: of the episodes; where all are those of simulated demonstrations, losses on what is
            where are added.
        split: frames to train on and to hold out, instead of those that the seed draws.

    The run's folder holds ``log.jsonl``, ``curve.png``, ``config.json``, ``sources.json`` (hashes
    of the data and of the policy that it began with), a state to resume from and ``policy/``, the
    averaged weights so far. What is trained, on what and what is written are methods of their own,
    which other trainings override.

    Raises:
        DistillError: the demonstrations have more words than the network; or, of :meth:`run`, the
            folder holds a run of another configuration or content, one that has gone further than
            ``steps``, or one that is at work.
    """

    curves: Sequence[str] = ("velocity", "grounding_cm", "learning_rate")
    """What the picture shows."""
    free = frozenset({"out", "steps", "threads", "log_every", "save_every", "keep_policies"})
    """What of the configuration may be another when a run is resumed."""

    def __init__(
        self,
        config: TrainConfig,
        frames: FrameStore,
        seeds: NDArray[np.int64] | None = None,
        split: Split | None = None,
    ) -> None:
        self.config = config
        if config.threads:
            torch.set_num_threads(config.threads)
        self.accelerator = Accelerator(
            mixed_precision=_precision(config.precision), kwargs_handlers=self._processes()
        )
        set_seed(config.seed)
        start = load_policy(config.init) if config.init else None
        see_robot(start, frames.robot)
        self._sources = {"data": frames.content_hash, "init": start.policy_hash if start else ""}
        self._cameras = frames.cameras
        network = self._network(start)
        self.model = replace(_sized(network.config, frames), layer_order=tuple(config.thin_order))
        scenes = None
        simulated = seeds is not None and bool((seeds >= TRAIN_SEED_START).all())
        if seeds is not None and simulated and config.scene_weight:
            scenes = Scenes(frames, seeds, self.model)
        self.samples = Samples(
            frames, self.model.horizon, config.held_out, config.seed, scenes, split, config.tasks
        )
        self.statistics = start.statistics if start else self.samples.statistics()
        self.statistics = replace(self.statistics, robot=frames.robot)
        sentences, text = set(frames.instructions), self.model.language
        self.tokenizer = (
            start.tokenizer if start else learned_words(sentences, simulated, text.vocabulary)
        )
        if self.accelerator.is_main_process:
            warn_of_cuts(sentences, self.tokenizer, text.max_text)
        objective = self._objective(network, scenes is not None)
        self.average = AveragedModel(
            objective, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=False
        ).to(self.accelerator.device)
        optimizer = MuonAdamW(
            parameter_groups(objective, config.weight_decay, config.optimizer == "muon"),
            lr=config.learning_rate,
            betas=(0.9, 0.95),
            bf16=self.accelerator.mixed_precision == "bf16",
        )
        objective.train()  # a loaded network comes in eval mode
        self.objective, self.optimizer = self.accelerator.prepare(objective, optimizer)
        self.accelerator.register_for_checkpointing(self.average)
        self.folder = Path(config.out)
        self.step = 0
        self._loader = ThreadPoolExecutor(1)
        self._ahead: tuple[int, Future[Batch]] | None = None

    def run(self) -> None:
        """Train to the end, from where the folder left off."""
        end_with_starter()
        with alone(self.folder, self.accelerator):
            self._resume()
            self._train()

    def _train(self) -> None:
        main = self.accelerator.is_main_process
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, disable=not main) as progress:
            bar = progress.add_task("train", total=self.config.steps, completed=self.step)
            begin, sums = time.perf_counter(), _Means()
            while self.step < self.config.steps:
                sums.add(self.optimise())
                self.step += 1
                last = self.step == self.config.steps
                if self.step % self.config.log_every == 0 or last:
                    seconds = time.perf_counter() - begin
                    row = self._row(sums, seconds)
                    text = " ".join(f"{k} {v:.3g}" for k, v in row.items() if "held" not in k)
                    progress.update(bar, completed=self.step, description=text)
                    begin, sums = time.perf_counter(), _Means()
                if self.step % self.config.save_every == 0 or last:
                    paused = time.perf_counter()
                    self._save()
                    begin += time.perf_counter() - paused

    def _processes(self) -> list[KwargsHandler]:
        """How several processes work together, where that is another than usual."""
        # A layer that the batch of no process runs gets no gradient.
        return [DistributedDataParallelKwargs(find_unused_parameters=bool(self.config.thin_order))]

    def _network(self, start: VlaPolicy | None) -> VlaNetwork:
        """What is trained, or trained on; ``start`` is the policy of ``init``."""
        if start:
            return start.network
        return VlaNetwork(replace(preset(self.config.preset), cameras=self._cameras))

    def _objective(self, network: VlaNetwork, scenes: bool) -> nn.Module:
        """What is minimised; ``scenes``: whether batches say what is where."""
        return Objective(network, self.config, scenes)

    def _write(self) -> None:
        """Write what has been learned so far into the run's folder."""
        policy, card = self.policy(), self._card()
        save_policy(policy, self.folder / "policy", card)
        if self.config.keep_policies:
            save_policy(policy, self.folder / f"policy_{self.step:06d}", card)

    def _card(self) -> str:
        """README.md of the policy, if it has one."""
        return ""

    def optimise(self) -> dict[str, float]:
        """One optimiser step; returns its losses."""
        config, accelerator = self.config, self.accelerator
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate_at(self.step)
        batch = self._prepared(self._rows(self.step), self._next_batch())
        losses = self.objective(batch, self._generator(self.step))
        self.optimizer.zero_grad(set_to_none=True)
        accelerator.backward(losses["loss"])
        accelerator.clip_grad_norm_(self.objective.parameters(), config.gradient_clip)
        self.optimizer.step()
        self.average.update_parameters(accelerator.unwrap_model(self.objective))
        return {name: float(value.detach()) for name, value in losses.items()}

    def _rows(self, step: int) -> NDArray[np.int64]:
        """This process's frames of a step."""
        rows = self.samples.draw(step, self.config.batch, self.config.seed)
        return rows[self.accelerator.process_index :: self.accelerator.num_processes]

    def _next_batch(self) -> Batch:
        """The samples of this step. Those of the next are loaded while this one is computed: a GPU
        would wait for them as long as it works."""
        if self._ahead is None or self._ahead[0] != self.step:
            self._ahead = self._loading(self.step)
        batch = self._ahead[1].result()
        self._ahead = self._loading(self.step + 1)
        return batch

    def _loading(self, step: int) -> tuple[int, Future[Batch]]:
        return step, self._loader.submit(self._load, self._rows(step))

    def _load(self, rows: NDArray[np.int64]) -> Batch:
        """The samples at these frames, on this process's device."""
        limit, device = self.model.language.max_text, self.accelerator.device
        return self.samples.batch(rows, self.tokenizer, self.statistics, limit, device)

    def _prepared(self, rows: NDArray[np.int64], batch: Batch) -> Batch:
        """The samples with all that the objective needs."""
        return batch

    def _generator(self, step: int) -> torch.Generator:
        """Noise of a step: a function of seed, step and process, so a run can resume."""
        key = (self.config.seed * 1_000_003 + step) * 64 + self.accelerator.process_index
        return torch.Generator(self.accelerator.device).manual_seed(key % 2**63)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Losses of the averaged weights on held-out episodes, always with the same noise."""
        rows = self.samples.held_out
        if not len(rows):
            return {}
        rows = rows[:: max(len(rows) // VALIDATION_ROWS, 1)][:VALIDATION_ROWS]
        self.average.eval()
        means = _Means()
        for part in range(0, len(rows), self.config.batch):
            some = rows[part : part + self.config.batch]
            batch = self._prepared(some, self._load(some))
            with self.accelerator.autocast():
                losses = self.average(batch, self._generator(-1 - part))
            means.add({name: float(value) for name, value in losses.items()})
        self.average.train()
        return {f"held_out_{name}": value for name, value in means.take().items()}

    def _row(self, sums: _Means, seconds: float) -> dict[str, float]:
        means = sums.take()
        row = {
            "step": self.step,
            **means,
            "learning_rate": self.config.learning_rate_at(self.step),
            "samples_per_second": sums.count * self.config.batch / seconds,
        }
        if self.step % (5 * self.config.log_every) == 0 or self.step == self.config.steps:
            row |= self.validate()
        if self.accelerator.is_main_process:
            with (self.folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
        return row

    def _save(self) -> None:
        # The state last: a run that is killed before goes on from the one before, and writes again.
        if self.accelerator.is_main_process:
            self._write()
            draw_curve(self.folder / "log.jsonl", self.folder / "curve.png", self.curves)
        self._save_state()

    def _save_state(self) -> None:
        accelerator = self.accelerator
        accelerator.wait_for_everyone()
        new, before = self.folder / "state.new", self._states()
        accelerator.save_state(str(new))
        accelerator.wait_for_everyone()  # each writes a file of its own into the folder
        if accelerator.is_main_process:
            new.rename(self.folder / f"state_{self.step:08d}")
            for old in before:
                shutil.rmtree(old)
        accelerator.wait_for_everyone()

    def _states(self) -> list[Path]:
        """Folders of whole states, the newest last."""
        return sorted(self.folder.glob("state_*"))

    def _resume(self) -> None:
        states, config = self._states(), self.config.to_dict()
        step = int(states[-1].name.removeprefix("state_")) if states else 0
        if states:
            agree(self.folder, config, self.free, self._sources, step)
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            note(self.folder, config, self._sources)
        if states:
            self.accelerator.load_state(str(states[-1]))
            self.step = step
        self._trim_log()

    def _trim_log(self) -> None:
        """Drop what was logged after the state that is resumed from, or by a run that left none."""
        log = self.folder / "log.jsonl"
        if self.accelerator.is_main_process and log.is_file():
            rows = read_json_lines(log)
            write_json_lines(log, (row for row in rows if row["step"] <= self.step))

    def policy(self) -> VlaPolicy:
        """The policy of the averaged weights."""
        network = VlaNetwork(self.model)
        averaged = cast(Objective, self.average.module)
        network.load_state_dict(averaged.network.state_dict())
        return VlaPolicy(network, self.tokenizer, self.statistics)


class _Means:
    """Running means of named numbers, each over the times that it was there."""

    def __init__(self) -> None:
        self.count = 0
        self._values: defaultdict[str, list[float]] = defaultdict(list)

    def add(self, values: dict[str, float]) -> None:
        self.count += 1
        for name, value in values.items():
            self._values[name].append(value)

    def take(self) -> dict[str, float]:
        return {name: float(np.mean(values)) for name, values in self._values.items()}


def _sized(model: ModelConfig, frames: FrameStore) -> ModelConfig:
    if frames.cameras != model.cameras:
        raise PolicyError("dataset cameras", got=frames.cameras, expected=model.cameras)
    height, width = frames.images.shape[2:4]
    if (height, width) != (model.image_size, model.image_size):
        raise PolicyError(
            "dataset images",
            got=f"{width}x{height}",
            expected=f"{model.image_size}x{model.image_size}",
        )
    return model


def _precision(wanted: str) -> str:
    """What ``auto`` means on this machine."""
    if wanted != "auto":
        return wanted
    fast = torch.cuda.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bf16" if fast else "no"
