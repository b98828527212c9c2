"""Everything that can be in a scene, by the name that an instruction uses."""

from __future__ import annotations

from typing import Final

from vla_sim.scene.fixtures import FIXTURES
from vla_sim.scene.items import COLOURS, KINDS, PEG

_COLOURED = (*KINDS, PEG, *(kind.kind for kind in FIXTURES.values() if kind.coloured))
_PLAIN = tuple(kind.kind for kind in FIXTURES.values() if not kind.coloured)

THINGS: Final = (*(f"{colour} {kind}" for kind in _COLOURED for colour in COLOURS), *_PLAIN)
"""Names of coloured things, then of those that have no colours."""
