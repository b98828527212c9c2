"""One policy or two, or two settings of one, judged on a bag: the JSON and the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vla_distill.bags.contender import Contender, names_of
from vla_distill.bags.content import Bag
from vla_distill.bags.episode import split
from vla_distill.bags.evaluation import EpisodeRun, Judgement, judge, judge_runs
from vla_distill.bags.fault import Fault, FaultList
from vla_distill.bags.frames import reference
from vla_distill.bags.playable import read_answers
from vla_distill.bags.step import StepConfig
from vla_distill.evaluation.machine import command, commit, machine


class Comparison:
    """Judges contenders one after the other.

    Args:
        bag: the bag.
        image_period: time between images [s].
        seed: of the noise.
        source: what the policies are compared with.
        instruction: what the arm was told, where the bag does not say.
        device: where the policies run.

    Raises:
        BagError: ``image_period`` is out of range.
    """

    def __init__(
        self,
        bag: Bag,
        *,
        image_period: float = 0.1,
        seed: int = 0,
        source: str = "auto",
        instruction: str = "",
        device: str = "cpu",
    ) -> None:
        self._bag, self._config = bag, StepConfig(image_period=image_period, seed=seed)
        self._source, self._instruction, self._device = source, instruction, device
        self._parts: list[tuple[Contender, str, Judgement]] = []
        self._node: dict[str, Any] | None = None

    def ask(self, contender: Contender, tell: Callable[[int], object] = lambda count: None) -> None:
        """Ask a policy in step mode.

        Raises:
            BagError: the bag has no episodes, or the policy has no such settings.
            PolicyError: the policy is broken, or the bag lacks a camera that it needs.
        """
        policy = contender.load(self._device)
        config = replace(self._config, replan_steps=contender.replan_steps)
        judgement = judge(
            self._bag,
            policy,
            config,
            source=self._source,
            instruction=self._instruction,
            tell=tell,
        )
        self._parts.append((contender, policy.policy_hash, judgement))

    def take(self, contender: Contender, answers: Path) -> None:
        """Take what a live policy_node answered.

        Raises:
            BagError: the answers are damaged or belong to another bag.
        """
        begin, faults = time.perf_counter(), FaultList()
        episodes = split(self._bag, self._instruction)
        asked, self._node = read_answers(answers, self._bag, episodes)
        runs = [
            EpisodeRun(episode, chunks, reference(self._bag, episode, self._source))
            for episode, chunks in zip(episodes, asked, strict=True)
        ]
        judgement = judge_runs(self._bag, runs, contender.replan_steps, faults, begin)
        # The time went by in the node, not here.
        for key in ("wall_s", "share_in_model"):
            judgement.timing.pop(key, None)
        known = {each.chunk.policy_hash for chunks in asked for each in chunks}
        self._parts.append((contender, " ".join(sorted(known)), judgement))

    @property
    def faults(self) -> list[Fault]:
        """What could not be read or used."""
        own = [Fault(**fault) for *_, judgement in self._parts for fault in judgement.faults]
        return [*self._bag.faults, *dict.fromkeys(own)]

    def record(self) -> dict[str, Any]:
        """For JSON: scores and timing of the first contender, the second's in ``against``."""
        result: dict[str, Any] = {
            "bag": str(self._bag.storage.path),
            "mode": "step" if self._node is None else "live",
            "seed": self._config.seed,
            "commit": commit(),
            "command": command(),
            "machine": machine(),
            "bag_faults": [fault.as_dict() for fault in self._bag.faults],
        }
        if self._node is not None:
            result["node"] = self._node
        for key, (contender, policy_hash, judgement) in zip(
            ("", "against"), self._parts, strict=False
        ):
            part = {
                "policy": str(contender.folder),
                "policy_hash": policy_hash,
                "replan_steps": contender.replan_steps,
                "compute": dict(contender.compute),
                "scores": judgement.scores,
                "timing": judgement.timing,
                "faults": judgement.faults,
            }
            result |= {key: part} if key else part
        return result

    def write_report(self, path: Path, cameras: Path | None = None) -> None:
        """Write the HTML page.

        Args:
            path: the file.
            cameras: folder of calibrations as ``config/cameras``.

        Raises:
            DistillError: a calibration is missing or broken.
        """
        from vla_distill.report.bag_page import Candidate, write_bag_page
        from vla_distill.report.projection import calibrated_views

        names = names_of([contender for contender, *_ in self._parts])
        record = self.record()
        begin, end = self._bag.span
        mode = "as a live policy_node answered" if self._node else "in step mode"
        facts = {
            "command": record["command"],
            "commit": str(record["commit"]),
            "machine": _words(record["machine"]),
        }
        if self._node is not None:
            why = ", ".join(f"{n} x {text}" for text, n in self._node["held_because"].items())
            held = f"{self._node['held']} of {self._node['states']}"
            facts["states answered with HOLD"] = f"{held} ({why})" if why else held
        write_bag_page(
            path,
            self._bag,
            [
                Candidate(name, contender.replan_steps, judgement)
                for name, (contender, _, judgement) in zip(names, self._parts, strict=True)
            ],
            views=None if cameras is None else calibrated_views(cameras),
            subtitle=f"What it would have done against what was done, {mode}, "
            f"on {end - begin:.1f} s of recording",
            facts=facts,
        )


def _words(facts: Mapping[str, Any]) -> str:
    """What a machine is, in a line: ``cores 2, torch 2.13``."""
    flat = [facts[k] if isinstance(facts[k], dict) else {k: facts[k]} for k in facts]
    return ", ".join(f"{name} {value}" for part in flat for name, value in part.items())
