"""VLA-Cache: what stands still and matters little is not computed again.

VLA-Cache: Towards Efficient Vision-Language-Action Model via Adaptive Token Caching in Robotic
Manipulation, arXiv 2502.02175. Patches that look as they did in the last frame keep their keys and
values (section 3.2); those that the task attends to are computed all the same (section 3.3).

Where this differs, and why:
- A patch is compared with what it looked like **when its keys and values were computed**, not with
  the last frame: what changes a little in each frame would otherwise never be computed again.
- The difference is a root mean square in grey levels, not a cosine of pixels: to the cosine, evenly
  grey and evenly white are the same, and a plain object may come and go unseen.
- Looking the same is not enough: the vision tower sees the whole picture, so a patch beside a thing
  that moved is another token. One whose state before the layer has drifted is computed.
- A camera of which many patches changed is dropped as a whole, with the cameras after it, whose
  tokens have looked at it; and all is computed again every ``refresh`` chunks.
- The attention is the last token's, in this frame and in the layer about to run, as in
  tokens/fastv.py; the paper takes a middle layer's of the last frame, of the text tokens, which
  come after the image there and before it here.
- Tokens are left out at one layer. The paper leaves out more of them in deeper layers, by the
  entropy of all attention, which no fast attention kernel hands out.
- Our grounding and last layer read the visual tokens' states, so those are kept as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vla_policy.efficiency.method import Amount
from vla_policy.efficiency.reuse.frame import Frame
from vla_policy.efficiency.tokens import attention
from vla_policy.model.config import ModelConfig
from vla_policy.model.plan import TokenStates

GREY_LEVELS = 127.5
"""Of 8 bits, in one unit of the network's pixels."""


@dataclass(frozen=True)
class VlaCache:
    """Reuses the tokens of patches that stand still.

    Attributes:
        reuse: visual tokens that are reused at most, the least attended ones; the others are
            computed in every frame.
        at: the layer from which on they are reused.
        tolerance: root mean square difference up to which a patch stands still, in grey levels
            of 255.
        drift: change of its state before the layer, relative to that state, up to which a token
            stands still.
        scene: share of a camera's patches that may change before all of it is computed.
        refresh: chunks after which all is computed again.
    """

    name: ClassVar[str] = "vla_cache"
    knob: ClassVar[str] = "reused_tokens"
    requires: ClassVar[frozenset[str]] = frozenset()
    conflicts: ClassVar[frozenset[str]] = frozenset(
        {
            *("task_diversity", "fastv", "random_tokens", "uniform_tokens"),  # tokens are gone
            *("layer_router", "top_k_router", "random_gates"),  # layers without keys to reuse
        }
    )
    reuse: Amount = 0.6
    at: int = 2
    tolerance: float = 4.0
    drift: float = 0.2
    scene: float = 0.5
    refresh: int = 10

    def select(
        self, tokens: TokenStates, patches: Tensor, earlier: Sequence[Frame | None], most: int
    ) -> Tensor:
        """See :meth:`vla_policy.efficiency.reuse.ReuseMethod.select`."""
        states = tokens.hidden[:, tokens.visual]
        still = torch.zeros(states.shape[:2], dtype=torch.bool, device=states.device)
        for row, frame in enumerate(earlier):
            if frame is not None:
                drift = (states[row] - frame.states).norm(dim=-1) / frame.states.norm(dim=-1)
                unmoved = self._unmoved(patches[row], frame.patches).flatten()
                still[row] = unmoved & (drift <= self.drift)
        attended = attention.attention_to_visual(tokens, self.at, attention.LAST)
        order = attended.argsort(dim=1, stable=True)
        little = torch.zeros_like(still).scatter(1, order[:, :most], True)
        return still & little

    def overhead(self, config: ModelConfig, text_tokens: int) -> float:
        """Attention of one query [FLOP]."""
        return attention.overhead(config, 1, text_tokens)

    def _unmoved(self, now: Tensor, before: Tensor) -> Tensor:
        """Patches (cameras, tokens, numbers) that look the same. Shape (cameras, tokens), bool."""
        difference = (now - before).square().mean(-1).sqrt() * GREY_LEVELS
        unmoved = difference <= self.tolerance
        changed = (~unmoved).float().mean(1) > self.scene
        return unmoved & (changed.cumsum(0) == 0)[:, None]
