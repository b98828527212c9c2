"""Serves a policy to robots and evaluations elsewhere.

The protocol is openpi's (its ``websocket_policy_server``): the server greets with a map about the
policy, then each binary frame is an observation and is answered by a chunk; an answer in a text
frame is an error. Where openpi's server ends at an error, with a traceback, ours says in one line
what was wrong and goes on. A client that keeps its own memory (ours does) sends it along; for one
that does not the server counts the chunks of the connection, from seed 0.
"""

from __future__ import annotations

import asyncio
import hmac
import http
import ipaddress
import logging
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from vla_policy.contract import Memory, Policy
from vla_policy.errors import PolicyError
from vla_policy.remote import wire

HEALTH = "/healthz"
EPISODES = 64
"""Episodes of a connection for which efficiency methods may keep something."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerConfig:
    """Where and whom to serve.

    Attributes:
        host: address to listen on.
        port: of TCP; 0 takes a free one.
        token: what a client must know; needed unless only this machine can connect.
        max_bytes: of a request.
        max_clients: connected at a time.
        idle_timeout: a client that asks nothing for so long is let go [s].
        ping_timeout: one that does not even answer a ping, too [s].
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str = ""
    max_bytes: int = 16 * 2**20
    max_clients: int = 8
    idle_timeout: float = 600.0
    ping_timeout: float = 20.0

    def check(self) -> None:
        """Refuse to listen to everybody, or nowhere.

        Raises:
            PolicyError: there is no such port; other machines could connect and there is no token,
                or the token is too short, or not one word of ASCII.
        """
        if not 0 <= self.port <= 65535:
            raise PolicyError("port", got=self.port, expected="0 to 65535")
        if not self.token and not _is_loopback(self.host):
            raise PolicyError(
                f"token for {self.host}",
                got="none",
                expected="one, since other machines can connect (or host 127.0.0.1)",
            )
        if self.token and not (len(self.token) >= 8 and self.token.isascii()):
            raise PolicyError("token", got="an unfit one", expected="8 or more ASCII characters")


class PolicyServer:
    """One policy, several clients; one inference at a time.

    Args:
        policy: what is served; called in a thread of its own.
        config: where and whom to serve.

    Raises:
        PolicyError: see :meth:`ServerConfig.check`.
    """

    def __init__(self, policy: Policy, config: ServerConfig) -> None:
        config.check()
        self._policy, self._config = policy, config
        self._thinker = ThreadPoolExecutor(1, "inference")
        self._clients = 0

    @property
    def metadata(self) -> dict[str, Any]:
        """What a client is greeted with."""
        policy = self._policy
        return {
            "cameras": list(policy.cameras),
            "image_size": policy.image_size,
            "step_dt": policy.step_dt,
            "horizon": policy.horizon,
            "policy_hash": policy.policy_hash,
            "continues_chunks": bool(getattr(policy, "continues_chunks", False)),
            "resizes": bool(getattr(policy, "resizes", False)),
            "max_bytes": self._config.max_bytes,
        }

    def listen(self) -> serve:
        """An asynchronous context in which is served."""
        config = self._config
        return serve(
            self._attend,
            config.host,
            config.port,
            process_request=self._admit,
            # Web pages send an origin, robots do not: none may reach a local server from a browser.
            origins=[None],
            compression=None,
            max_size=config.max_bytes,
            open_timeout=config.ping_timeout,
            ping_interval=config.ping_timeout,
            ping_timeout=config.ping_timeout,
            close_timeout=1.0,
        )

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path == HEALTH:
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        if self._config.token:
            given = request.headers.get_all("Authorization")
            wanted = f"Api-Key {self._config.token}"
            if len(given) != 1 or not hmac.compare_digest(given[0].encode(), wanted.encode()):
                _log.warning("refused %s: no or a wrong token", connection.remote_address)
                return connection.respond(
                    http.HTTPStatus.UNAUTHORIZED,
                    "token: got none or a wrong one, expected 'Authorization: Api-Key TOKEN'\n",
                )
        if self._clients >= self._config.max_clients:
            return connection.respond(
                http.HTTPStatus.SERVICE_UNAVAILABLE,
                f"clients: got one more, expected at most {self._config.max_clients}\n",
            )
        return None

    async def _attend(self, connection: ServerConnection) -> None:
        self._clients += 1
        peer, session = connection.remote_address, Session(self._policy)
        _log.info("%s has come", peer)
        try:
            await connection.send(wire.pack(self.metadata))
            while True:
                data = await asyncio.wait_for(connection.recv(), self._config.idle_timeout)
                await connection.send(await self._answer(session, data))
        except ConnectionClosed as closed:
            _log.info("%s has gone: %s", peer, closed)
        except asyncio.TimeoutError:
            await connection.close(1001, f"idle for {self._config.idle_timeout:.0f} s")
        finally:
            self._clients -= 1

    async def _answer(self, session: Session, data: str | bytes) -> bytes | str:
        """A chunk in bytes, or an error in text."""
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thinker, session.answer, data)
        except PolicyError as error:
            return str(error)
        except Exception as error:  # whatever a policy raises is no reason to leave the others
            _log.exception("inference failed")
            return f"policy: {type(error).__name__}: {error}"


class Session:
    """What is kept of one connection.

    Args:
        policy: that is served.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._stores: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self._own = policy.start(0)

    def answer(self, data: str | bytes) -> bytes:
        """Answer an observation with a chunk.

        Raises:
            PolicyError: the observation is unfit.
        """
        begin = time.perf_counter()
        message = wire.unpack(data)
        observation = wire.observation_from_wire(message)
        memory, episode = self._memory(message)
        observation.validate(self._policy.cameras)
        thought = time.perf_counter()
        (chunk,) = self._policy.infer([observation], [memory])
        end = time.perf_counter()
        if episode is not None:
            self._keep(episode, memory.store)
        timing = {"infer_ms": 1e3 * (end - thought), "total_ms": 1e3 * (end - begin)}
        return wire.pack({**wire.chunk_to_wire(chunk), "server_timing": timing})

    def _memory(self, message: dict[str, Any]) -> tuple[Memory, int | None]:
        """The client's memory, with what methods have stored of its episode here; else our own."""
        if "memory" not in message:
            return self._own, None
        if not isinstance(message["memory"], dict):
            raise wire.WireError("memory", got=type(message["memory"]).__name__, expected="a map")
        episode = message.get("episode", 0)
        if type(episode) is not int:
            raise wire.WireError("episode", got=repr(episode)[:40], expected="a whole number")
        memory = wire.memory_from_wire(message["memory"])
        memory.store = self._stores.get(episode, {})
        return memory, episode

    def _keep(self, episode: int, store: dict[str, Any]) -> None:
        """Keep what methods have stored of an episode; each time it is another dictionary."""
        self._stores[episode] = store
        self._stores.move_to_end(episode)
        if len(self._stores) > EPISODES:
            self._stores.popitem(last=False)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
