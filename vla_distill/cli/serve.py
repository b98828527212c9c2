"""Serve a policy to robots and evaluations on other machines (websocket and msgpack).

A client needs the token that stands in the environment variable VLA_TOKEN here; without one only
this machine may connect. Messages are openpi's (docs/remote_policy.md).
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vla_policy.remote.server import PolicyServer


@dataclass(frozen=True)
class Arguments:
    """Answer observations with chunks until interrupted."""

    policy: Path
    """Folder of the policy, e.g. checkpoints/teacher."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is every network, and needs a token in VLA_TOKEN."""
    port: int = 8000
    """Port of TCP; 0 takes a free one."""
    device: str = "cpu"
    """Where the policy runs."""
    max_mebibytes: int = 16
    """Largest request [MiB]."""
    max_clients: int = 8
    """Clients at a time; they take turns."""


def main(arguments: Arguments) -> int:
    """Serve."""
    from vla_distill.errors import DistillError
    from vla_policy.remote.client import TOKEN
    from vla_policy.remote.server import PolicyServer, ServerConfig

    if min(arguments.max_mebibytes, arguments.max_clients) < 1:
        raise DistillError(
            "max_mebibytes, max_clients",
            got=(arguments.max_mebibytes, arguments.max_clients),
            expected="at least 1 each",
        )
    config = ServerConfig(
        arguments.host,
        arguments.port,
        os.environ.get(TOKEN, ""),
        max_bytes=arguments.max_mebibytes * 2**20,
        max_clients=arguments.max_clients,
    )
    config.check()  # before the policy is loaded, which takes its time
    from vla_policy.checkpoint import load_policy

    policy = load_policy(arguments.policy, arguments.device)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("websockets").setLevel(logging.ERROR)
    asyncio.run(_serve(PolicyServer(policy, config), arguments))
    return 0


async def _serve(server: PolicyServer, arguments: Arguments) -> None:
    from vla_distill.errors import DistillError

    try:
        async with server.listen() as running:
            host, port = running.sockets[0].getsockname()[:2]
            print(f"serving {arguments.policy} on ws://{host}:{port}", flush=True)
            await running.serve_forever()
    except OSError as error:
        raise DistillError(
            f"{arguments.host}:{arguments.port}", got=error, expected="a free address and port"
        ) from error
