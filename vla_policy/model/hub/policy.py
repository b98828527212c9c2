"""A Prismatic network as a policy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vla_policy.contract import Observation
from vla_policy.model import flops
from vla_policy.model.hub import operations
from vla_policy.model.hub.config import COGACT, PrismaticConfig
from vla_policy.model.hub.language import START
from vla_policy.model.network import Condition, NetworkInputs
from vla_policy.model.policy import VlaPolicy, normalise_pixels

PROMPT = "In: What action should the robot take to {}?\nOut:"
"""Of prismatic-vlms for a plain Llama, which both were trained with."""
EMPTY, END = 29871, 2
"""Tokens of Llama's vocabulary that follow the prompt: the empty word, and the text's end, which is
CogACT's cognition token."""


class PrismaticPolicy(VlaPolicy):
    """See :class:`VlaPolicy`; what differs is the prompt, the resizing and the count."""

    config: PrismaticConfig
    continues_chunks = False
    resizes = True
    """Whether images of any size must come as they are, because they are not resized our way."""

    def inputs(self, observations: Sequence[Observation]) -> NetworkInputs:
        """Observations as tensors on the policy's device."""
        prompts = [self.prompt(observation.instruction) for observation in observations]
        length = max(map(len, prompts))
        text = torch.zeros(len(prompts), length, dtype=torch.int64)
        mask = torch.zeros(len(prompts), length, dtype=torch.bool)
        for row, ids in enumerate(prompts):
            text[row, -len(ids) :] = torch.tensor(ids)
            mask[row, -len(ids) :] = True
        images = torch.stack([self._image(observation) for observation in observations])
        dtype = next(self.network.parameters()).dtype
        return NetworkInputs(
            images=images[:, None].to(dtype),
            text=text.to(self.device),
            text_mask=mask.to(self.device),
            state=torch.zeros(len(prompts), 0, device=self.device),
        )

    def prompt(self, instruction: str) -> list[int]:
        """Token ids after the start token.

        An instruction that is too long loses its end, not the prompt's.
        """
        before, after = PROMPT.format("\0").split("\0")
        words = self._ids(before + instruction.lower().strip() + after)
        if (too_many := len(words) + 2 - self.config.language.max_text) > 0:
            closing = len(self._ids(after))
            cut = max(len(words) - closing - too_many, 0)
            words = words[:cut] + words[len(words) - closing :]
        if words[-1:] != [EMPTY]:
            words.append(EMPTY)
        return [*words, END] if self.config.kind == COGACT else words

    def _ids(self, text: str) -> list[int]:
        ids = self.tokenizer.encode(text).ids
        return ids[1:] if ids[:1] == [START] else ids

    def _image(self, observation: Observation) -> Tensor:
        """Shape (3, H, W), in [-1, 1]; resized without keeping the sides' ratio, bicubic."""
        image = observation.images[self.cameras[0]]
        pixels = torch.from_numpy(np.array(image)).to(self.device)  # what was sent is read-only
        size = (self.image_size, self.image_size)
        if image.shape[:2] != size:
            channels = pixels.movedim(-1, 0)[None].float()
            resized = torch.nn.functional.interpolate(
                channels, size, mode="bicubic", antialias=True, align_corners=False
            )
            pixels = resized[0].movedim(0, -1).round().clamp(0, 255).to(torch.uint8)
        return normalise_pixels(pixels)

    def _operations(
        self, condition: Condition, row: int, text_tokens: int, steps: tuple[int, int]
    ) -> float:
        config, language = self.config, condition.language
        # One start token, where the count takes a state and a cognition token for granted.
        text = text_tokens - 1
        ran = language.layers_run[row]
        layers = sum(
            flops.language_layer(
                config, language.visual_tokens[layer], text, language.reused_tokens[layer]
            )
            for layer in ran
        )
        head = operations.head(config, steps)
        if config.kind != COGACT:
            counts = [language.visual_tokens[layer] for layer in ran]
            head = operations.words(config, text_tokens, counts)
        return operations.vision(config) + layers + head
