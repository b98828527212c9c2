"""ROS parameters made from frozen dataclasses: one place for default, unit, range and meaning."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_policy_node.errors import NodeError

T = TypeVar("T")
# Parameters that ROS itself adds to a node and that a YAML file may therefore name.
_OF_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides.")


def setting(
    default: Any,
    doc: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] = (),
    live: bool = False,
    name: str = "",
) -> Any:
    """Make a dataclass field that becomes a ROS parameter.

    Args:
        default: its type is the parameter's type; a tuple stands for a list of strings.
        doc: what the parameter does, one sentence.
        unit: unit of the value, e.g. ``s``.
        low: least allowed value.
        high: greatest allowed value.
        choices: the only allowed strings.
        live: whether it may change while the node is configured or active.
        name: the parameter's name where it is not the field's, e.g. with a dot.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "doc": doc,
            "unit": unit,
            "low": low,
            "high": high,
            "choices": tuple(choices),
            "live": live,
            "name": name,
        },
    )


def name_of(field: dataclasses.Field[Any]) -> str:
    """Name of the parameter that a field made by :func:`setting` becomes."""
    return field.metadata["name"] or field.name


def descriptor(field: dataclasses.Field[Any]) -> ParameterDescriptor:
    """Return the ROS descriptor of a field made by :func:`setting`."""
    meta = field.metadata
    text = meta["doc"] + (f" [{meta['unit']}]" if meta["unit"] else "")
    result = ParameterDescriptor(description=text)
    if meta["choices"]:
        result.additional_constraints = "one of " + ", ".join(meta["choices"])
    elif meta["low"] is not None and isinstance(field.default, float):
        result.floating_point_range = [
            FloatingPointRange(from_value=float(meta["low"]), to_value=float(meta["high"]))
        ]
    elif meta["low"] is not None:
        result.integer_range = [
            IntegerRange(from_value=int(meta["low"]), to_value=int(meta["high"]))
        ]
    return result


def check(settings_type: type[Any], values: Mapping[str, Any]) -> None:
    """Check values against the ranges and choices of a settings dataclass.

    Args:
        settings_type: the dataclass.
        values: by the parameters' names.

    Raises:
        NodeError: a name is unknown, or a value has the wrong type, is out of its range or none of
            its choices.
    """
    fields = _by_name(settings_type)
    for name, value in values.items():
        if name not in fields:
            raise NodeError("parameter", got=repr(name), expected=f"one of {sorted(fields)}")
        default, meta = fields[name].default, fields[name].metadata
        if isinstance(default, tuple):
            if not value or not all(isinstance(text, str) and text for text in value):
                raise NodeError(f"parameter {name!r}", got=repr(value), expected="names")
            continue
        if type(value) is not type(default):
            raise NodeError(f"parameter {name!r}", got=repr(value), expected=type(default).__name__)
        if meta["choices"] and value not in meta["choices"]:
            raise NodeError(
                f"parameter {name!r}", got=repr(value), expected=f"one of {list(meta['choices'])}"
            )
        # Written so that NaN fails too.
        if meta["low"] is not None and not meta["low"] <= value <= meta["high"]:
            raise NodeError(
                f"parameter {name!r}",
                got=value,
                expected=f"{meta['low']} to {meta['high']} {meta['unit']}".strip(),
            )


def declare(node: Node, settings_type: type[Any]) -> None:
    """Declare one parameter a field, with its descriptor."""
    for field in dataclasses.fields(settings_type):
        node.declare_parameter(name_of(field), field.default, descriptor(field))


def read(node: Node, settings_type: type[T]) -> T:
    """Read the settings of a node that declared them.

    Raises:
        NodeError: a parameter file or ``-p`` named a parameter that the node does not have, or a
            value is out of its range.
    """
    given = getattr(node, "_parameter_overrides", {})
    unknown = sorted(
        name for name in given if not node.has_parameter(name) and not name.startswith(_OF_ROS)
    )
    fields = _by_name(settings_type)
    if unknown:
        raise NodeError(
            "parameters", got=f"unknown {unknown}", expected=f"some of {sorted(fields)}"
        )
    values = {name: _value(node.get_parameter(name)) for name in fields}
    check(settings_type, values)
    return settings_type(**{fields[name].name: value for name, value in values.items()})


def unfit(settings_type: type[Any], parameters: Sequence[Parameter]) -> str:
    """Say which parameter has a value that it cannot have; empty if none. Those of others
    (``use_sim_time``) pass."""
    fields = _by_name(settings_type)
    try:
        check(settings_type, {p.name: _value(p) for p in parameters if p.name in fields})
    except NodeError as error:
        return str(error)
    return ""


def settled(settings_type: type[Any], parameters: Sequence[Parameter]) -> str:
    """Say which parameter a configured node does not take any more; empty if none."""
    fields = _by_name(settings_type)
    for parameter in parameters:
        if parameter.name in fields and not fields[parameter.name].metadata["live"]:
            return f"{parameter.name} is read in configure: deactivate and clean up first"
    return ""


def replaced(settings: T, parameters: Sequence[Parameter]) -> T:
    """Return the settings with some parameters set anew; parameters of others are left out."""
    fields = _by_name(type(settings))
    values = {fields[p.name].name: _value(p) for p in parameters if p.name in fields}
    return dataclasses.replace(settings, **values)  # type: ignore[type-var]


def _by_name(settings_type: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    return {name_of(field): field for field in dataclasses.fields(settings_type)}


def _value(parameter: Parameter) -> Any:
    """The value; a list becomes a tuple, as settings are frozen."""
    return tuple(parameter.value) if isinstance(parameter.value, list) else parameter.value
