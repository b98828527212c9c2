"""A policy server in a thread of its own, which can be killed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from vla_policy.contract import Policy
from vla_policy.remote.server import PolicyServer, ServerConfig

WAIT = 20.0
"""For anything that must happen [s]."""


@contextmanager
def serving(policy: Policy, **config: object) -> Iterator[str]:
    """The address of a server; at the end it is gone, in the middle of whatever it does."""
    loop, address = asyncio.new_event_loop(), []
    ready = threading.Event()
    server = PolicyServer(policy, ServerConfig(**{"port": 0, **config}))  # type: ignore[arg-type]

    async def run() -> None:
        async with server.listen() as running:
            host, port = running.sockets[0].getsockname()[:2]
            address.append(f"ws://{host}:{port}")
            ready.set()
            await running.wait_closed()

    async def stop() -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def work() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(run())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(WAIT), "the server listens"
    try:
        yield address[0]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop)
        thread.join(WAIT)
        loop.close()
