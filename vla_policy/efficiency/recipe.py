"""A recipe: the methods that a policy uses together, and what was measured to use them.

As YAML, a name and the options of each method::

    methods:
      layer_importance: {keep: 22}
      task_diversity: {keep: 56}

The empty recipe is the plain policy. In a policy's folder the recipe is ``recipe.json``, with the
ranking of the layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from vla_policy.efficiency.method import Method, build
from vla_policy.efficiency.registry import find_method
from vla_policy.errors import PolicyError

SHELF = Path(__file__).parent / "recipes"
"""The recipes that come with the package."""


@dataclass(frozen=True)
class Recipe:
    """Methods that go together.

    Attributes:
        name: what results call it.
        methods: at most one for each knob.
        ranking: language layers, the first to be removed first; empty until calibrated.
        thresholds: of a router's scores, by layers that shall run on average (1 to layers - 1);
            empty until calibrated.
        origin: hash of the policy that was accelerated.
    """

    name: str = "plain"
    methods: tuple[Method, ...] = ()
    ranking: tuple[int, ...] = ()
    thresholds: tuple[float, ...] = ()
    origin: str = ""

    def __post_init__(self) -> None:
        for one, other in itertools.combinations(self.methods, 2):
            what = f"recipe {self.name}: {one.name} with {other.name}"
            if one.knob == other.knob:
                raise PolicyError(what, got=f"both set {one.knob}", expected="one of them")
            if other.name in one.conflicts or one.name in other.conflicts:
                raise PolicyError(what, got="a conflict", expected="one of them")

    def method(self, knob: str) -> Any:
        """The method that sets a knob, or None."""
        return next((method for method in self.methods if method.knob == knob), None)

    def check(self, available: Iterable[str]) -> None:
        """See that what the methods require is there.

        Raises:
            PolicyError: something is missing; names the method.
        """
        there = frozenset(available)
        for method in self.methods:
            if missing := sorted(method.requires - there):
                raise PolicyError(
                    f"recipe {self.name}: {method.name}",
                    got=f"no {', '.join(missing)}",
                    expected=", ".join(sorted(method.requires)),
                )

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "name": self.name,
            "methods": {method.name: asdict(method) for method in self.methods},  # type: ignore[call-overload]
            "ranking": list(self.ranking),
            **({"thresholds": list(self.thresholds)} if self.thresholds else {}),
            "origin": self.origin,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], name: str = "") -> Recipe:
        """Read what :meth:`to_dict` wrote, or a YAML file's content.

        Args:
            values: keys ``methods`` and, if not the default, ``name``, ``ranking``,
                ``thresholds``, ``origin``.
            name: used where ``values`` has none.

        Raises:
            PolicyError: a key, a method or an option is unknown, or two methods do not go together.
        """
        known = sorted(cls.__dataclass_fields__)
        if not isinstance(values, Mapping) or not set(values) <= set(known):
            mapping = isinstance(values, Mapping)
            got = sorted(set(values) - set(known), key=str) if mapping else values
            raise PolicyError(f"recipe {name}: keys", got=got, expected=known)
        methods = values.get("methods") or {}
        if not isinstance(methods, Mapping):
            raise PolicyError(f"recipe {name}: methods", got=methods, expected="name: {options}")
        return cls(
            name=str(values.get("name") or name or "plain"),
            methods=tuple(build(find_method(key), given or {}) for key, given in methods.items()),
            ranking=_layers(values.get("ranking", ()), name),
            thresholds=_numbers(values.get("thresholds", ()), name),
            origin=str(values.get("origin", "")),
        )


def read_recipe(source: str | Path) -> Recipe:
    """Read a recipe.

    Args:
        source: a YAML file, or the name of a recipe that comes with the package.

    Raises:
        PolicyError: there is no such file or name, or the content is no recipe.
    """
    path = Path(source)
    if not path.is_file():
        path = SHELF / f"{source}.yaml"
    if not path.is_file():
        raise PolicyError("recipe", got=str(source), expected=f"a file, or one of {recipe_names()}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise PolicyError(str(path), got=" ".join(str(error).split()), expected="YAML") from error
    return Recipe.from_dict(values or {}, path.stem)


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in SHELF.glob("*.yaml"))


def _layers(values: Sequence[Any], name: str) -> tuple[int, ...]:
    try:
        once = sorted(values) == list(range(len(values)))
    except TypeError:  # no list, or not of numbers
        once = False
    if not once:
        raise PolicyError(f"recipe {name}: ranking", got=values, expected="each layer once")
    return tuple(values)


def _numbers(values: Sequence[Any], name: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, values))
    except (TypeError, ValueError) as error:
        raise PolicyError(f"recipe {name}: thresholds", got=values, expected="numbers") from error
