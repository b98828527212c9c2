"""What every method says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, ClassVar, Protocol, TypeVar

from vla_policy.errors import PolicyError

Amount = int | float
"""A whole number is a count; a fraction between 0 and 1 is a share of what there is."""

CALIBRATION = "calibration"
"""In ``requires``: observations to measure on before it can be used."""

ROUTER = "router"
"""In ``requires``: a network with a trained router (``vla distill-policy`` makes one)."""

NESTED = "layers trained in an order"
"""In ``requires``: a network that was trained to do with its first few (``thin_order``)."""

M = TypeVar("M", bound="Method")


class Method(Protocol):
    """A frozen dataclass whose fields are the method's options.

    Attributes:
        name: what recipes call it.
        knob: the one quantity that it sets; two methods of a recipe never set the same.
        requires: what has to be there, of :data:`CALIBRATION`, :data:`ROUTER` and :data:`NESTED`.
        conflicts: names of methods that set another knob and yet cannot go with it.
    """

    name: ClassVar[str]
    knob: ClassVar[str]
    requires: ClassVar[frozenset[str]]
    conflicts: ClassVar[frozenset[str]]


def count_of(method: Method, option: str, whole: int) -> int:
    """An option of type :data:`Amount` as a count.

    Args:
        method: whose option.
        option: its name.
        whole: how many there are.

    Raises:
        PolicyError: a count that is not in 1 to ``whole``, or a share not between 0 and 1.
    """
    value = getattr(method, option)
    if isinstance(value, int) and 1 <= value <= whole:
        return value
    if isinstance(value, float) and 0.0 < value < 1.0:
        return max(1, round(value * whole))
    raise PolicyError(
        f"{method.name}: {option}", got=value, expected=f"1 to {whole}, or a share between 0 and 1"
    )


def build(kind: type[M], options: Mapping[str, Any]) -> M:
    """Make a method of its options.

    Raises:
        PolicyError: an option is unknown, missing, or no number; names it.
    """
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(options, Mapping):
        expected = f"name: value, names of {sorted(known)}"
        raise PolicyError(f"{kind.name}: options", got=options, expected=expected)
    if unknown := sorted(set(options) - set(known), key=str):
        raise PolicyError(f"{kind.name}: options", got=unknown, expected=sorted(known))
    for key, value in options.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if known[key].type in ("int", "bool") and type(value).__name__ != known[key].type:
            raise PolicyError(f"{kind.name}: {key}", got=value, expected=f"{known[key].type}")
        if known[key].type in ("Amount", "float") and not number:
            raise PolicyError(f"{kind.name}: {key}", got=value, expected="a number")
    for key, field in known.items():
        if field.default is MISSING and key not in options:
            raise PolicyError(f"{kind.name}: {key}", got="nothing", expected="a number")
    return kind(**options)
