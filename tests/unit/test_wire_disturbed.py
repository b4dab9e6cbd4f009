"""What goes wrong on a wire for a while: all of it is late, nothing of it comes, or an answer comes to its half."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from devstack.wire.disturbed import DisturbedWire
from devstack.wire.proxy import Hop
from tests.support.wire import LOOP_TURNS, TIMEOUT_S, Server, answer, connected, record, serving


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, DisturbedWire]]:
    async with serving(DisturbedWire) as served:
        yield served


async def a_while() -> None:
    for _ in range(LOOP_TURNS):
        await asyncio.sleep(0)


async def test_what_is_held_up_comes_later_in_its_order(server: tuple[Server, DisturbedWire]) -> None:
    behind, wire = server
    async with connected(wire) as (reader, writer):
        wire.hold_up(Hop.PROVIDER)
        writer.write(record(1) + record(2))
        await a_while()
        assert behind.received == b""
        wire.let_go(Hop.PROVIDER)
        assert [await answer(reader), await answer(reader)] == [record(1), record(2)]


async def test_an_answer_that_is_halved_ends_its_connection_and_no_other(server: tuple[Server, DisturbedWire]) -> None:
    _, wire = server
    async with connected(wire) as (reader, writer), connected(wire) as (other_reader, other_writer):
        wire.halve_next(Hop.PROVIDER)
        writer.write(record(1))
        assert await asyncio.wait_for(reader.read(), TIMEOUT_S) == record(1)[:3]
        other_writer.write(record(2))
        assert await answer(other_reader) == record(2)


async def test_a_muted_connection_stays_open_and_silent_until_it_is_ended(server: tuple[Server, DisturbedWire]) -> None:
    behind, wire = server
    async with connected(wire) as (reader, writer):
        writer.write(record(1))
        await answer(reader)
        wire.mute(Hop.PROVIDER)
        writer.write(record(2))
        await a_while()
        assert behind.received == record(1)
        assert not reader.at_eof()
        async with connected(wire) as (other_reader, other_writer):
            other_writer.write(record(3))
            assert await answer(other_reader) == record(3), "a new connection is heard"
            wire.calm()
            with contextlib.suppress(OSError):
                assert await asyncio.wait_for(reader.read(), TIMEOUT_S) == b""
            other_writer.write(record(4))
            assert await answer(other_reader) == record(4)
