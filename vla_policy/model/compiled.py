"""A network's pieces through ``torch.compile``: vision tower with projector, decoder layers, head.

The plan decides between the pieces, in Python, so they are compiled one by one. Instructions differ
in length, so a decoder layer is compiled for any number of tokens: nothing is compiled again on a
running robot. All decoder layers share one compiled function, with their weights as its arguments.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from vla_policy.model.network import VlaNetwork


def compile_pieces(network: VlaNetwork, backend: str = "inductor") -> Callable[[], None]:
    """Compile each piece when it is next called, for inference; training stays as it is.

    Args:
        network: its methods are replaced in place.
        backend: of ``torch.compile``; ``inductor`` needs a C++ compiler on a CPU.

    Returns:
        What puts the plain methods back.
    """
    pieces = [(network, "see", False), (network.head, "forward", False)]
    pieces += [(layer, "_infer", True) for layer in network.language.layers]
    for owner, name, any_length in pieces:
        plain = getattr(owner, name)
        setattr(owner, name, torch.compile(plain, dynamic=any_length, backend=backend))

    def undo() -> None:
        for owner, name, _ in pieces:
            delattr(owner, name)  # the class's own shows again

    return undo
