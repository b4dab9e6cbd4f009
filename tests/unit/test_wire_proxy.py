"""The proxy acts exactly at the chosen boundary: all that came before it has arrived, and nothing that comes after it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from devstack.errors import DevstackError
from devstack.wire.proxy import Boundary, Fate, Hop, Wire
from tests.support.wire import LOOP_TURNS, TIMEOUT_S, Server, answer, connected, record, serving


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, Wire]]:
    async with serving(Wire) as served:
        yield served


async def test_messages_of_both_directions_are_counted_in_the_window_and_passed_on(server: tuple[Server, Wire]) -> None:
    _, wire = server
    async with connected(wire) as (reader, writer):
        writer.write(record(1))
        assert await answer(reader) == record(1)
        wire.open_window()
        writer.write(record(2) + record(3))
        assert await answer(reader) == record(2)
        assert await answer(reader) == record(3)
        assert wire.close_window() == {Hop.PROVIDER: 4}


async def test_a_window_opens_with_the_next_connection(server: tuple[Server, Wire]) -> None:
    _, wire = server
    async with connected(wire) as (reader, writer):
        writer.write(record(1))
        await answer(reader)
        wire.open_window(at_connection_to=Hop.PROVIDER)
        writer.write(record(1))
        await answer(reader)
        async with connected(wire) as (second_reader, second_writer):
            second_writer.write(record(2))
            await answer(second_reader)
            assert wire.close_window() == {Hop.PROVIDER: 2}


async def test_a_cut_delivers_what_came_before_the_boundary_and_nothing_after_it(server: tuple[Server, Wire]) -> None:
    behind, wire = server
    async with connected(wire) as (_, other), connected(wire) as (reader, writer):

        async def act() -> Fate:
            other.write(record(7))  # on another connection, while everything is held
            await other.drain()
            for _ in range(LOOP_TURNS):
                await asyncio.sleep(0)
            return Fate.CUT

        writer.write(record(1))
        await answer(reader)
        wire.open_window()
        sprung = wire.set_trap(Boundary(Hop.PROVIDER, 3), act)
        writer.write(record(2))
        await answer(reader)
        writer.write(record(3) + record(4))
        await asyncio.wait_for(sprung, TIMEOUT_S)
        await behind.until_ended(2)
        assert behind.received == record(1) + record(2)
    async with connected(wire) as (reader, writer):
        writer.write(record(5))
        assert await answer(reader) == record(5), "a new connection is passed on"


async def test_a_delay_changes_nothing_but_the_time(server: tuple[Server, Wire]) -> None:
    behind, wire = server
    async with connected(wire) as (reader, writer):
        held: list[bytes] = []

        async def act() -> Fate:
            held.append(behind.received)
            return Fate.PASS

        wire.open_window()
        sprung = wire.set_trap(Boundary(Hop.PROVIDER, 1), act)
        writer.write(record(1) + record(2))
        assert [await answer(reader), await answer(reader)] == [record(1), record(2)]
        await sprung
        assert held == [b""], "the record was held while the action ran"


async def test_what_is_swallowed_never_arrives_and_the_connection_stays(server: tuple[Server, Wire]) -> None:
    behind, wire = server

    async def act() -> Fate:
        return Fate.SWALLOW_HOP

    async with connected(wire) as (_, writer):
        wire.open_window()
        sprung = wire.set_trap(Boundary(Hop.PROVIDER, 1), act)
        writer.write(record(1))
        await asyncio.wait_for(sprung, TIMEOUT_S)
        writer.write(record(2))
        async with connected(wire) as (other_reader, other_writer):
            other_writer.write(record(3))
            assert await answer(other_reader) == record(3)
        assert (behind.received, behind.connections_ended) == (record(3), 0)


async def test_what_an_action_raises_comes_out_where_the_trap_was_set(server: tuple[Server, Wire]) -> None:
    _, wire = server

    async def act() -> Fate:
        raise DevstackError("the process cannot be killed")

    async with connected(wire) as (_, writer):
        wire.open_window()
        sprung = wire.set_trap(Boundary(Hop.PROVIDER, 1), act)
        writer.write(record(1))
        with pytest.raises(DevstackError, match="cannot be killed"):
            await asyncio.wait_for(sprung, TIMEOUT_S)


async def test_a_connection_that_carries_something_else_makes_the_counts_worthless(server: tuple[Server, Wire]) -> None:
    _, wire = server
    async with connected(wire) as (reader, writer):
        wire.open_window()
        writer.write(b"GET / HTTP/1.1\r\n")
        assert await asyncio.wait_for(reader.read(), TIMEOUT_S) == b""
        with pytest.raises(DevstackError, match="cannot read a connection"):
            wire.close_window()
