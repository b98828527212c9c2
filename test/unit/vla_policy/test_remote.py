"""Laws of a policy behind a socket: the same chunks, and nothing that a client sends ends it."""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgpack
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

sys.path.insert(0, str(Path(__file__).parents[2] / "doubles"))
import released_checkpoints as releases
from nudge_policy import NudgePolicy
from served import serving

from vla_policy.contract import ActionChunk, Memory, Observation, Policy
from vla_policy.efficiency.acceleration import accelerate
from vla_policy.efficiency.recipe import Recipe
from vla_policy.errors import PolicyError
from vla_policy.model.hub.released import load_released
from vla_policy.model.policy import VlaPolicy
from vla_policy.remote import client as client_module
from vla_policy.remote import wire
from vla_policy.remote.client import RemotePolicy
from vla_policy.remote.server import ServerConfig

WAIT = 20.0
"""For anything that must happen [s]."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(NudgePolicy(), max_bytes=20_000) as address:
        yield address


def observation(stamp: float = 1.0, side: int = 16) -> Observation:
    rng = np.random.default_rng(round(stamp * 1000))
    return Observation(
        {name: rng.integers(0, 256, (side, side, 3), np.uint8) for name in ("front", "wrist")},
        np.array([0.3, 0.0, 0.2, 0.0, 1.5, 0.1, 0.05, 0.08], np.float32),
        "pick up the cube",
        stamp,
        {"front": stamp, "ee_state": stamp + 0.01},
    )


def call(address: str, **options: object) -> ClientConnection:
    """A client that knows nothing of us: openpi's way."""
    return connect(address, compression=None, proxy=None, **options)


def request(**changes: object) -> dict:
    message = wire.observation_to_wire(observation())
    return {**message, **changes}


def same(first: ActionChunk, second: ActionChunk) -> None:
    np.testing.assert_array_equal(first.targets, second.targets)
    for name in ("stamp", "sequence", "seed", "input_stamps", "report", "continues", "instruction"):
        assert getattr(first, name) == getattr(second, name)


def test_a_remote_policy_is_a_policy_and_makes_the_same_chunks(address: str) -> None:
    remote, local = RemotePolicy(address), NudgePolicy()
    assert isinstance(remote, Policy)
    for name in ("cameras", "image_size", "step_dt", "horizon", "policy_hash", "continues_chunks"):
        assert list(np.atleast_1d(getattr(remote, name))) == list(
            np.atleast_1d(getattr(local, name))
        )
    memories = [policy.start(5) for policy in (remote, local)]
    for stamp in (1.0, 1.2, 1.4):
        chunks = []
        for policy, memory in zip((remote, local), memories, strict=True):
            memory.frozen_until = stamp + 0.1
            chunks += policy.infer([observation(stamp)], [memory])
        same(*chunks)
    assert chunks[0].continues is not None
    remote.close()


@pytest.mark.parametrize("frozen_until", [None, 1.3])
def test_what_a_chunk_hangs_on_travels_and_the_layers_that_ran_too(frozen_until) -> None:
    policy = NudgePolicy()
    memory = policy.start(5)
    (chunk,) = policy.infer([observation()], [memory])
    memory.previous = replace(chunk, report=replace(chunk.report, layers_run=(0, 4)))
    memory.frozen_until = frozen_until
    there = wire.memory_from_wire(wire.unpack(wire.pack(wire.memory_to_wire(memory))))
    assert (there.seed, there.sequence) == (memory.seed, memory.sequence)
    assert there.frozen_until == frozen_until
    np.testing.assert_array_equal(there.previous.targets, chunk.targets)
    assert there.previous.report.layers_run == (0, 4)  # a router's hysteresis asks for them


def test_images_are_sent_at_the_policys_size(address: str) -> None:
    remote, big = RemotePolicy(address), observation(side=200)
    (chunk,) = remote.infer([big], [remote.start(0)])  # 240 kB would be refused
    assert np.isfinite(chunk.targets).all()
    remote.close()


def test_a_released_policy_sees_the_same_picture_over_the_link(tmp_path) -> None:
    """It resizes in its own way, which is not ours."""
    folder = releases.write(tmp_path, "cogact", releases.make("cogact"))
    local = load_released(folder, sizes=releases.sizes("cogact"))
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    seen = replace(observation(), images={"front": image})
    with serving(local) as address:
        remote = RemotePolicy(address)
        chunks = [p.infer([seen], [p.start(0)])[0] for p in (local, remote)]
        remote.close()
    np.testing.assert_array_equal(chunks[0].targets, chunks[1].targets)


def test_a_client_of_openpi_is_greeted_and_answered(address: str) -> None:
    """What its client does: no memory, no stamps; ``actions`` and ``server_timing`` come back."""
    with call(address) as connection:
        greeting = msgpack.unpackb(connection.recv(WAIT))
        assert greeting["horizon"] == 8 and greeting["cameras"] == ["front", "wrist"]
        images = {name: np.zeros((16, 16, 3), np.uint8) for name in ("front", "wrist")}
        plain = {"images": images, "state": np.zeros(8), "prompt": "pick up the cube"}
        for number in range(2):
            connection.send(wire.pack(plain))
            answer = wire.unpack(connection.recv(WAIT))
            assert answer["actions"].shape == (8, 7)
            assert answer["sequence"] == number and answer["server_timing"]["infer_ms"] >= 0.0


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"state": np.zeros(7)}, "state"),
        ({"state": np.full(8, np.nan)}, "state"),
        ({"state": "here"}, "state"),
        ({"prompt": ""}, "instruction"),
        ({"prompt": 3}, "prompt"),
        ({"images": {}}, "front"),
        ({"images": {"front": np.zeros((4, 4), np.uint8)}}, "front"),
        ({"images": {"front": np.zeros((0, 4, 3), np.uint8)}}, "front"),
        ({"images": None}, "images"),
        ({"stamp": float("inf")}, "stamp"),
        ({"memory": 3}, "memory"),
        ({"memory": {"seed": -1}}, "seed"),
        ({"memory": {"previous": {"actions": np.zeros((0, 7)), "stamp": 0.0}}}, "actions"),
        ({"memory": {}, "episode": "x"}, "episode"),
    ],
)
def test_a_malformed_request_is_answered_by_its_name_and_the_next_one_well(
    address: str, changes: dict, named: str
) -> None:
    with call(address) as connection:
        connection.recv(WAIT)
        connection.send(wire.pack(request(**changes)))
        answer = connection.recv(WAIT)
        assert isinstance(answer, str) and named in answer and "expected" in answer
        connection.send(wire.pack(request()))
        assert isinstance(connection.recv(WAIT), bytes)


def array(**changes: object) -> bytes:
    fields = {"__ndarray__": True, "data": b"\0" * 32, "dtype": "<f4", "shape": [8]}
    return msgpack.packb(
        request_without_arrays()
        | {"state": {name.encode(): value for name, value in {**fields, **changes}.items()}}
    )


def request_without_arrays() -> dict:
    return {"images": {}, "prompt": "x"}


@pytest.mark.parametrize(
    "data",
    [
        array(dtype="|O8"),
        array(dtype="V8"),
        array(shape=[-1]),
        array(shape=[2**40, 2**40]),
        array(shape=[9]),
        array(shape=[True] * 3),
        array(shape="8"),
        array(data="text"),
        array(shape=[1] * 40),
        b"",
        b"\xc1",
        b"\x91" * 5000,
        msgpack.packb([1, 2]),
        msgpack.packb({1: 2}),
        wire.pack(request()) + b"\0",
        wire.pack(request())[:-9],
    ],
)
def test_bytes_that_are_no_request_are_an_error_that_says_so(data: bytes) -> None:
    with pytest.raises(PolicyError, match="expected"):
        wire.observation_from_wire(wire.unpack(data))


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=8) | st.binary(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
parts = st.sampled_from(["images", "state", "prompt", "stamp", "input_stamps", "memory", "episode"])
arrays = st.fixed_dictionaries(
    {b"__ndarray__": st.just(True)},
    optional={
        b"dtype": st.sampled_from(["<f4", "|u1", "|O8"]) | json,
        b"shape": st.lists(st.integers(-2, 5), max_size=5) | json,
        b"data": st.binary(max_size=64) | json,
    },
)


@pytest.fixture(scope="module")
def connection(address: str) -> Iterator[ClientConnection]:
    with call(address) as connection:
        connection.recv(WAIT)
        yield connection


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200) | st.dictionaries(parts, json | arrays).map(msgpack.packb))
def test_whatever_comes_is_answered_and_the_server_lives_on(
    connection: ClientConnection, data: bytes
) -> None:
    connection.send(data)
    answer = connection.recv(WAIT)
    assert isinstance(answer, str) and answer
    connection.send(wire.pack(request()))
    assert isinstance(connection.recv(WAIT), bytes)


def test_text_is_refused_in_words(address: str) -> None:
    with call(address) as connection:
        connection.recv(WAIT)
        connection.send("hello")
        assert "binary" in connection.recv(WAIT)


def test_an_oversized_request_ends_its_connection_with_the_reason_and_no_other(
    address: str,
) -> None:
    with call(address) as other, call(address) as connection:
        other.recv(WAIT), connection.recv(WAIT)
        connection.send(b"\0" * 30_000)
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(WAIT)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
        other.send(wire.pack(request()))
        assert isinstance(other.recv(WAIT), bytes)


def test_the_client_knows_the_limit(address: str) -> None:
    remote = RemotePolicy(address)
    remote._about["max_bytes"] = 100
    with pytest.raises(PolicyError, match="at most 100"):
        remote.infer([observation()], [remote.start(0)])
    remote.close()


def test_no_token_or_a_wrong_one_is_refused() -> None:
    with serving(NudgePolicy(), token="correct horse") as address:
        for token in ("", "wrong horse", "correct horses"):
            with pytest.raises(PolicyError, match=r"401.*token"):
                RemotePolicy(address, token=token)
        with pytest.raises(InvalidStatus):
            call(address)
        right = RemotePolicy(address, token="correct horse")
        assert right.infer([observation()], [right.start(0)])
        right.close()


def test_a_web_page_is_refused(address: str) -> None:
    with pytest.raises(InvalidStatus):
        call(address, origin="https://example.com")


def test_it_says_that_it_is_well(address: str) -> None:
    url = address.replace("ws://", "http://") + "/healthz"
    with urllib.request.urlopen(url, timeout=WAIT) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "robot.example"])
def test_other_machines_need_a_token(host: str) -> None:
    with pytest.raises(PolicyError, match="token"):
        ServerConfig(host).check()
    ServerConfig(host, token="long enough").check()
    for unfit in ("short", "ünfit for a header"):
        with pytest.raises(PolicyError, match="token"):
            ServerConfig(host, token=unfit).check()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_this_machine_needs_none(host: str) -> None:
    ServerConfig(host).check()


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_there_is_not_is_refused(port: int) -> None:
    with pytest.raises(PolicyError, match=f"port: got {port}"):
        ServerConfig(port=port).check()


def test_one_client_too_many_is_told_so() -> None:
    with serving(NudgePolicy(), max_clients=1) as address:
        first = RemotePolicy(address)
        with pytest.raises(PolicyError, match=r"503.*clients"):
            RemotePolicy(address)
        first.close()


def test_a_policy_that_fails_is_told_by_name_and_asked_again() -> None:
    policy = NudgePolicy()
    with serving(policy) as address:
        remote = RemotePolicy(address)
        memory = remote.start(0)
        policy.broken = "no grip on reality"
        with pytest.raises(PolicyError, match="RuntimeError: no grip on reality"):
            remote.infer([observation()], [memory])
        assert memory.sequence == 0
        policy.broken = ""
        assert remote.infer([observation()], [memory])[0].sequence == 0
        remote.close()


def test_what_methods_store_stays_with_its_episode() -> None:
    policy = NudgePolicy()
    with serving(policy) as address:
        remote = RemotePolicy(address)
        seen: list[int] = []
        honest = policy._one

        def spy(observation: Observation, memory: Memory) -> ActionChunk:
            chunk = honest(observation, memory)
            seen.append(memory.store["asked"])
            return chunk

        policy._one = spy  # type: ignore[method-assign]
        first, second = remote.start(0), remote.start(0)
        for memory in (first, second, first):
            remote.infer([observation()], [memory])
        assert seen == [1, 1, 2]
        remote.close()


def test_tokens_are_reused_over_the_link_as_they_are_without_it() -> None:
    plain = VlaPolicy.random("test")
    torch.nn.init.normal_(plain.network.head.out.weight)
    recipe = Recipe.from_dict({"methods": {"vla_cache": {"reuse": 8, "at": 1}}})
    local = accelerate(plain, recipe, [])
    with serving(local) as address:
        remote = RemotePolicy(address)
        memories = [policy.start(5) for policy in (local, remote)]
        costs = []
        for _ in range(3):
            near, far = (
                policy.infer([observation(side=32)], [memory])[0]
                for policy, memory in zip((local, remote), memories, strict=True)
            )
            np.testing.assert_array_equal(near.targets, far.targets)
            assert near.report.gflops == far.report.gflops
            costs.append(far.report.gflops)
        assert costs[2] == costs[1] < costs[0]
        remote.close()


def test_a_link_that_drops_is_an_error_and_the_next_call_connects_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "RETRY_PERIOD", 0.0)
    policy = NudgePolicy()
    with serving(policy) as address:
        port = int(address.rpartition(":")[2])
        remote, local = RemotePolicy(address), NudgePolicy()
        memory, own = remote.start(1), local.start(1)
        same(remote.infer([observation()], [memory])[0], local.infer([observation()], [own])[0])
    for _ in range(2):
        with pytest.raises(PolicyError, match="vla serve"):
            remote.infer([observation(1.2)], [memory])
    with serving(policy, port=port):
        # The memory is the client's: the episode goes on where it was.
        again = remote.infer([observation(1.2)], [memory])[0]
        same(again, local.infer([observation(1.2)], [own])[0])
        remote.close()


def test_after_a_failure_it_waits_before_it_calls_again(address: str) -> None:
    remote = RemotePolicy(address)
    remote._drop()
    asked = RemotePolicy(address).start(0)
    with pytest.raises(PolicyError, match="again shortly"):
        remote.infer([observation()], [asked])


def test_a_server_with_another_policy_is_refused_after_a_reconnect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "RETRY_PERIOD", 0.0)
    policy = NudgePolicy()
    with serving(policy) as address:
        remote = RemotePolicy(address)
        remote._drop()
        policy.policy_hash = "another"
        with pytest.raises(PolicyError, match="another"):
            remote.infer([observation()], [remote.start(0)])


def test_nobody_there_is_an_error_by_address() -> None:
    with pytest.raises(PolicyError, match=r"ws://127\.0\.0\.1:9"):
        RemotePolicy("ws://127.0.0.1:9", timeout=1.0)
