"""Words to token ids, by Hugging Face `tokenizers`.

A word-level vocabulary: lower case, punctuation apart, unknown words become ``[UNK]``. It travels
in the checkpoint as tokenizer.json, so any other `tokenizers` model can stand in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from torch import Tensor

PAD, UNKNOWN = "[PAD]", "[UNK]"


def word_tokenizer(words: Iterable[str]) -> Tokenizer:
    """A tokenizer that knows these words, in the order of the alphabet."""
    vocabulary = {PAD: 0, UNKNOWN: 1}
    for word in sorted(set(words)):
        vocabulary.setdefault(word, len(vocabulary))
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(  # type: ignore[assignment]
        [normalizers.NFKC(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore[assignment]
    return tokenizer


def words_of(instructions: Iterable[str]) -> set[str]:
    """The words of some instructions, split and folded as :func:`word_tokenizer` does."""
    empty = word_tokenizer(())
    words: set[str] = set()
    for text in instructions:
        folded = empty.normalizer.normalize_str(text)  # type: ignore[union-attr]
        pieces = empty.pre_tokenizer.pre_tokenize_str(folded)  # type: ignore[union-attr]
        words.update(piece for piece, _ in pieces)
    return words


def tokenize(
    tokenizer: Tokenizer, instructions: Sequence[str], limit: int
) -> tuple[Tensor, Tensor]:
    """Encode a batch.

    Returns:
        ids (B, L) int64, padded at the left so that text ends next to the state, and the mask
        (B, L) bool of what is text. L is the longest of the batch, at most ``limit``.
    """
    encoded = [tokenizer.encode(text).ids[:limit] for text in instructions]
    length = max(len(ids) for ids in encoded)
    ids = torch.zeros(len(encoded), length, dtype=torch.int64)
    mask = torch.zeros(len(encoded), length, dtype=torch.bool)
    for row, tokens in enumerate(encoded):
        if tokens:
            ids[row, -len(tokens) :] = torch.tensor(tokens)
            mask[row, -len(tokens) :] = True
    return ids, mask
