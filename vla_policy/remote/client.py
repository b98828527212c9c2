"""A policy that another machine computes, behind the contract of :class:`Policy`."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from vla_policy.contract import ActionChunk, Memory, Observation
from vla_policy.errors import PolicyError
from vla_policy.image_conversion import fit_image
from vla_policy.remote import wire

TOKEN = "VLA_TOKEN"
"""Environment variable of the token; an argument would stand in the list of processes."""
RETRY_PERIOD = 0.5
"""A server that could not be reached is called again after this [s]."""
_MAX_ANSWER = 2**20
_EPISODE = "remote_episode"


class RemotePolicy:
    """Asks a server (``vla serve``) for each chunk; connects anew when the link has dropped.

    Images are sent at the policy's size, or as they are to one that resizes them in its own way.
    Determinism is kept: seed, number and the chunk before travel with each observation; what
    efficiency methods store stays on the server and is lost with the link.

    Args:
        address: ``ws://HOST:PORT``.
        token: that the server asks for; by default from the environment variable ``VLA_TOKEN``.
        timeout: longest wait for a connection or an answer [s].

    Raises:
        PolicyError: the server does not answer, refuses us, or greets with nonsense.
    """

    def __init__(self, address: str, token: str | None = None, timeout: float = 10.0) -> None:
        self.address, self._timeout = address, timeout
        self._token = os.environ.get(TOKEN, "") if token is None else token
        self._episodes = itertools.count(time.monotonic_ns())
        self._connection: ClientConnection | None = None
        self._retry_at = 0.0
        self._about: dict[str, Any] = {}
        self._connect()

    @property
    def cameras(self) -> Sequence[str]:
        """See :class:`vla_policy.contract.Policy`."""
        return self._about["cameras"]

    @property
    def image_size(self) -> int:
        """See :class:`vla_policy.contract.Policy`."""
        return self._about["image_size"]

    @property
    def step_dt(self) -> float:
        """See :class:`vla_policy.contract.Policy`."""
        return self._about["step_dt"]

    @property
    def horizon(self) -> int:
        """See :class:`vla_policy.contract.Policy`."""
        return self._about["horizon"]

    @property
    def policy_hash(self) -> str:
        """See :class:`vla_policy.contract.Policy`."""
        return self._about["policy_hash"]

    @property
    def continues_chunks(self) -> bool:
        """Whether real-time chunking is possible."""
        return self._about["continues_chunks"]

    def start(self, seed: int) -> Memory:
        """Begin an episode."""
        return Memory(seed, store={_EPISODE: next(self._episodes)})

    def infer(
        self, observations: Sequence[Observation], memories: Sequence[Memory]
    ) -> list[ActionChunk]:
        """See :meth:`vla_policy.contract.Policy.infer`; one request an observation.

        Raises:
            PolicyError: an observation does not fit, or the link has dropped; the next call then
                connects anew.
        """
        return [self._one(*pair) for pair in zip(observations, memories, strict=True)]

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _one(self, observation: Observation, memory: Memory) -> ActionChunk:
        observation.validate(self.cameras)
        message = wire.observation_to_wire(observation)
        images = {name: observation.images[name] for name in self.cameras}
        if not self._about["resizes"]:
            images = {name: fit_image(image, self.image_size) for name, image in images.items()}
        message["images"] = images
        message["memory"] = wire.memory_to_wire(memory)
        message["episode"] = memory.store.get(_EPISODE, 0)
        answer = self._ask(wire.pack(message))
        if isinstance(answer, str):
            raise PolicyError(f"policy server {self.address}", got=answer, expected="a chunk")
        chunk = wire.chunk_from_wire(wire.unpack(answer))
        if (chunk.stamp, chunk.sequence) != (observation.stamp, memory.sequence):
            self.close()  # an answer to something else
            raise self._lost("an answer to another observation")
        memory.sequence += 1
        memory.previous = chunk
        return chunk

    def _ask(self, request: bytes) -> str | bytes:
        limit = self._about["max_bytes"]
        if len(request) > limit:
            raise PolicyError(
                "observation", got=f"{len(request)} bytes", expected=f"at most {limit}"
            )
        connection = self._connection or self._connect()
        try:
            connection.send(request)
            return connection.recv(self._timeout)
        except (ConnectionClosed, OSError) as error:  # TimeoutError is an OSError
            self._drop()
            raise self._lost(error or f"no answer in {self._timeout:g} s") from error

    def _connect(self) -> ClientConnection:
        if time.monotonic() < self._retry_at:
            raise self._lost("no connection; called again shortly")
        headers = {"Authorization": f"Api-Key {self._token}"} if self._token else None
        try:
            connection = connect(
                self.address,
                additional_headers=headers,
                compression=None,
                max_size=_MAX_ANSWER,
                proxy=None,
                open_timeout=self._timeout,
                close_timeout=0.2,
            )
            about = self._greeting(connection)
        except InvalidStatus as refusal:
            self._drop()
            said = bytes(refusal.response.body or b"").decode(errors="replace").strip()
            raise self._lost(f"HTTP {refusal.response.status_code}: {said}") from refusal
        except (OSError, ConnectionClosed, InvalidHandshake, wire.WireError) as error:
            self._drop()
            raise self._lost(error or type(error).__name__) from error
        if self._about and about["policy_hash"] != self.policy_hash:
            connection.close()
            self._drop()
            raise PolicyError(
                f"policy of {self.address}", got=about["policy_hash"], expected=self.policy_hash
            )
        self._about, self._connection = about, connection
        return connection

    def _greeting(self, connection: ClientConnection) -> dict[str, Any]:
        about = {"resizes": False, **wire.unpack(connection.recv(self._timeout))}
        kinds = {
            "cameras": list,
            "image_size": int,
            "step_dt": float,
            "horizon": int,
            "policy_hash": str,
            "continues_chunks": bool,
            "resizes": bool,
            "max_bytes": int,
        }
        for name, kind in kinds.items():
            if not isinstance(about.get(name), kind):
                connection.close()
                raise wire.WireError(
                    f"greeting: {name}", got=about.get(name), expected=kind.__name__
                )
        return about

    def _drop(self) -> None:
        """Hang up, without waiting for the other side."""
        connection, self._connection = self._connection, None
        self._retry_at = time.monotonic() + RETRY_PERIOD
        if connection is not None:
            connection.close()

    def _lost(self, got: object) -> PolicyError:
        return PolicyError(
            f"policy server {self.address}", got=got, expected="`vla serve` to answer there"
        )
