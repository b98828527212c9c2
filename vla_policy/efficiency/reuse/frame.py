"""What an episode keeps of the frames that it has seen, and how it is used and renewed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vla_policy.contract import Memory
from vla_policy.model.network import NetworkInputs
from vla_policy.model.plan import TokenStates
from vla_policy.model.token_reuse import KeptTokens, TokenReuse

if TYPE_CHECKING:
    from vla_policy.efficiency.reuse import ReuseMethod


@dataclass(frozen=True)
class Frame:
    """What was kept.

    Attributes:
        words: token ids of the instruction that it holds for.
        layers: language layers left out of it.
        since: number of the chunk in which all of it was computed.
        patches: what each visual token looked at when it was computed, which may be in another
            chunk for each. Shape (cameras, tokens, numbers).
        states: as what it entered the layer then. Shape (V, width).
        tokens: what they left behind.
    """

    words: tuple[int, ...]
    layers: frozenset[int]
    since: int
    patches: Tensor
    states: Tensor
    tokens: KeptTokens


class FrameReuse:
    """Reuse in one inference: what a batch sees against what its episodes have kept.

    A frame is dropped when the instruction is another one, the layers that run are others, or
    ``refresh`` chunks have passed.

    Args:
        method: what chooses.
        memories: by row; a new frame is put into each.
        inputs: what the batch sees.
        patch: side of a patch [px].
        layers: language layers left out.
        most: visual tokens that may be reused.
    """

    def __init__(
        self,
        method: ReuseMethod,
        memories: Sequence[Memory],
        inputs: NetworkInputs,
        patch: int,
        layers: frozenset[int],
        most: int,
    ) -> None:
        self._method, self._memories, self._layers, self._most = method, memories, layers, most
        self._patches = cut(inputs.images, patch)
        self._words = [
            tuple(ids[mask].tolist()) for ids, mask in zip(inputs.text, inputs.text_mask)
        ]
        self._earlier = [
            self._usable(memory, words) for memory, words in zip(memories, self._words)
        ]

    @property
    def chooses(self) -> bool:
        """Whether there is anything to choose from."""
        return any(self._earlier)

    def reuse(self, tokens: TokenStates) -> TokenReuse:
        """What is reused from the layer on that is about to run."""
        batch, count = len(tokens.hidden), tokens.visual.stop - tokens.visual.start
        reused = torch.zeros(batch, count, dtype=torch.bool, device=tokens.hidden.device)
        if self.chooses:
            reused = self._method.select(tokens, self._patches, self._earlier, self._most)
        states = tokens.hidden[:, tokens.visual]
        kept = [frame and frame.tokens for frame in self._earlier]
        return TokenReuse(tokens.visual, reused, kept, lambda new: self._keep(reused, states, new))

    def _usable(self, memory: Memory, words: tuple[int, ...]) -> Frame | None:
        frame = memory.store.get(self._method.name)
        if frame is None or (frame.words, frame.layers) != (words, self._layers):
            return None
        return frame if memory.sequence - frame.since < self._method.refresh else None

    def _keep(self, reused: Tensor, entered: Tensor, kept: list[KeptTokens]) -> None:
        for row, (memory, tokens) in enumerate(zip(self._memories, kept, strict=True)):
            patches, states, since = self._patches[row], entered[row], memory.sequence
            if (earlier := self._earlier[row]) is not None:
                old, since = reused[row][:, None], earlier.since
                patches = torch.where(old.view(*patches.shape[:2], 1), earlier.patches, patches)
                states = torch.where(old, earlier.states, states)
            frame = Frame(self._words[row], self._layers, since, patches, states, tokens)
            # A new dictionary: a copy of the memory from before this chunk stays as it was.
            memory.store = {**memory.store, self._method.name: frame}


def cut(images: Tensor, patch: int) -> Tensor:
    """Images (B, cameras, 3, H, W) into patches, row after row: (B, cameras, tokens, numbers)."""
    squares = images.unfold(3, patch, patch).unfold(4, patch, patch)
    return squares.permute(0, 1, 3, 4, 2, 5, 6).flatten(4).flatten(2, 3)
