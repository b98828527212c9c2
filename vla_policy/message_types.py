"""Message definitions without ROS: bytes of a recording to messages and back, through ``rosbags``.

ROS's own messages are those of Jazzy; ``vla_msgs`` come from the source tree or the sourced
workspace. A bag brings the definitions it was recorded with, and these are read by.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from rosbags.interfaces import MessageDefinitionFormat
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg
from rosbags.typesys import get_typestore as make_store
from rosbags.typesys.store import Typestore

from vla_policy.errors import PolicyError

PACKAGE = "vla_msgs"


def definitions_folder() -> Path:
    """Where the ``.msg`` files of ``vla_msgs`` are: the source tree's, else an installed one's.

    Raises:
        PolicyError: nowhere.
    """
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    places = [Path(__file__).resolve().parent.parent / PACKAGE / "msg"]
    places += [prefix / "share" / PACKAGE / "msg" for prefix in prefixes]
    for place in places:
        if any(place.glob("*.msg")):
            return place
    raise PolicyError(
        "definitions of vla_msgs",
        got=f"none in {[str(place) for place in places]}",
        expected="the source tree, or a sourced workspace",
    )


@lru_cache(maxsize=1)
def message_types() -> Typestore:
    """All types that this project writes: ROS 2 Jazzy's and ``vla_msgs``; shared, do not add."""
    store = make_store(Stores.ROS2_JAZZY)
    found: dict[str, Any] = {}
    for path in sorted(definitions_folder().glob("*.msg")):
        found |= get_types_from_msg(path.read_text(), f"{PACKAGE}/msg/{path.stem}")
    store.register(found)
    return store


class RecordedTypes:
    """The types of one bag, as they were when it was recorded."""

    def __init__(self) -> None:
        self._store = make_store(Stores.EMPTY)
        self._fallback: Typestore | None = None
        self._known: set[str] = set()

    def add(self, name: str, definition: str, form: MessageDefinitionFormat) -> None:
        """Take a type's definition; one that cannot be understood is left to Jazzy's own.

        Args:
            name: e.g. ``sensor_msgs/msg/Image``.
            definition: with those of the types that it contains, as MCAP and sqlite3 hold it.
            form: in which language; ``NONE`` where the bag has none.
        """
        if name in self._known or form == MessageDefinitionFormat.NONE or not definition:
            return
        read = get_types_from_idl if form == MessageDefinitionFormat.IDL else None
        try:
            types = read(definition) if read else get_types_from_msg(definition, name)
            self._store.register({k: v for k, v in types.items() if k not in self._known})
        except (TypesysError, ValueError, KeyError):
            return
        self._known |= set(types)

    def read(self, data: bytes | memoryview, name: str) -> Any:
        """Decode a message.

        Raises:
            PolicyError: the type is unknown, or the bytes are no message of it.
        """
        store = self._store
        if name not in self._known:
            self._fallback = self._fallback or message_types()
            store = self._fallback
        try:
            return store.deserialize_cdr(data, name)
        except Exception as error:  # the reader raises whatever it stumbles over
            raise PolicyError(
                f"message of {name}", got=f"{type(error).__name__}: {error}", expected="its bytes"
            ) from error
