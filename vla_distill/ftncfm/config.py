"""What to make: the settings of ``vla distill-data``, looked at before anything is computed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vla_distill.dataset import layout
from vla_distill.ftncfm.arms import CONTRAST, NOTHING, get_arm
from vla_distill.ftncfm.errors import DataDistillationError
from vla_distill.ftncfm.matching import MatchConfig
from vla_distill.ftncfm.tracing import get_tracer
from vla_distill.ftncfm.weights import get_rule
from vla_distill.training.config import TrainConfig
from vla_policy.checkpoint import load_policy, policy_hash
from vla_policy.errors import PolicyError

UNITS = ("frames", "episodes")


def start_hash(train: TrainConfig) -> str:
    """Hash of the policy that a training begins with; empty if with none.

    Raises:
        DataDistillationError: it is not there.
    """
    try:
        return policy_hash(Path(train.init)) if train.init else ""
    except PolicyError as error:
        raise DataDistillationError(
            f"init {train.init}",
            got="no whole policy",
            expected="one; config/train/small.yaml begins with what config/train/base.yaml trains",
        ) from error


@dataclass(frozen=True)
class DistillDataConfig:
    """What to make.

    Attributes:
        data: the dataset.
        out: folder of the small one.
        work: where steps are kept.
        train: a full run, of which the guide is a part.
        ratio: of the dataset's samples (frames), or of its episodes.
        arm: how to choose.
        unit: what is chosen: frames, or whole episodes (not by synthetic arms).
        tasks: only these; all if empty.
        tracer: how samples are traced.
        rule: what happens to negative scores.
        evidence: trace and verify the samples also where the arm does not look at it.
        teacher: folder of a policy whose chunks real samples get instead of those recorded; empty
            for none.
        match: how synthetic samples are made.
        seed: of split, noise and draws.
    """

    data: str
    out: Path
    work: Path
    train: TrainConfig
    ratio: float = 0.05
    arm: str = "stratified_spread"
    unit: str = "frames"
    tasks: tuple[str, ...] = ()
    tracer: str = "lissa"
    rule: str = "clip"
    evidence: bool = False
    teacher: str = ""
    match: MatchConfig = field(default_factory=MatchConfig)
    seed: int = 0

    @property
    def name(self) -> str:
        """Of its own steps in the work folder, which other arms share."""
        return f"{self.arm}_{self.unit}_{self.ratio:g}_{self.seed}"

    @property
    def needs(self) -> int:
        """How far samples are traced: NOTHING, FEATURES, SCORES or CONTRAST."""
        return CONTRAST if self.evidence else get_arm(self.arm).needs

    @property
    def match_name(self) -> str:
        """Of the folder of matched groups; how they are made is part of it."""
        how = json.dumps(asdict(self.match), sort_keys=True).encode()
        return f"match_{self.name}_{hashlib.sha256(how).hexdigest()[:8]}"

    def check(self) -> None:
        """Refuse what cannot be, before hours are spent.

        Raises:
            DataDistillationError: arm, unit, tracer, rule, seed or a number of the matching.
            PolicyError: the teacher cannot be read.
        """
        arm = get_arm(self.arm)
        get_tracer(self.tracer)
        get_rule(self.rule)
        self.match.check()
        if self.seed < 0:
            raise DataDistillationError("seed", got=self.seed, expected="0 or more")
        if self.unit not in UNITS or (arm.synthetic and self.unit != "frames"):
            got, kind = f"{self.unit} by {self.arm}", "frames" if arm.synthetic else UNITS
            raise DataDistillationError("unit", got=got, expected=kind)
        if self.teacher and arm.synthetic:
            raise DataDistillationError(
                "teacher", got=f"one, for {self.arm}", expected="none: its chunks are synthetic"
            )
        if self.teacher and (horizon := load_policy(self.teacher).horizon) != layout.HORIZON:
            raise DataDistillationError(
                f"horizon of {self.teacher}", got=horizon, expected=layout.HORIZON
            )

    def origin(self, content_hash: str) -> dict[str, Any]:
        """What decides the outcome, ready for JSON.

        Args:
            content_hash: of the dataset.

        Raises:
            DataDistillationError: the guide shall begin with a policy that is not there.
            PolicyError: the teacher is not there.
        """
        values = asdict(self)
        del values["out"], values["work"]
        for name in ("out", "threads", "log_every", "save_every", "keep_policies"):
            del values["train"][name]
        values["source_hash"] = content_hash
        values["teacher_hash"] = policy_hash(Path(self.teacher)) if self.teacher else ""
        if self.needs > NOTHING:  # else no guide begins with it
            values["init_hash"] = start_hash(self.train)
        return json.loads(json.dumps(values))
