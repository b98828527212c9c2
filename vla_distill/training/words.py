"""The words that a policy learns, and how many of a sentence it is told."""

from __future__ import annotations

import warnings
from collections.abc import Collection

from tokenizers import Tokenizer

from vla_distill.errors import DistillError
from vla_policy.model.tokenizer import word_tokenizer, words_of
from vla_sim.instructions import all_words


def learned_words(sentences: Collection[str], simulated: bool, limit: int) -> Tokenizer:
    """The words of the demonstrations, and of all scenes there can be if they are simulated: then
    training can go on with demonstrations of other scenes.

    Raises:
        DistillError: they are more than ``limit``, with padding and the unknown word.
    """
    tokenizer = word_tokenizer(words_of(sentences) | set(all_words() if simulated else ()))
    if (count := tokenizer.get_vocab_size()) > limit:
        raise DistillError(
            "words of the demonstrations",
            got=f"{count}, with padding and the unknown word",
            expected=f"at most {limit}, the vocabulary of the preset",
        )
    return tokenizer


def warn_of_cuts(sentences: Collection[str], tokenizer: Tokenizer, limit: int) -> None:
    """Warn of sentences of more than ``limit`` tokens, which lose their end."""
    if cut := sum(len(tokenizer.encode(text).ids) > limit for text in sentences):
        warnings.warn(
            f"{cut} of {len(sentences)} sentences are longer than {limit} tokens, and cut there",
            stacklevel=2,
        )
