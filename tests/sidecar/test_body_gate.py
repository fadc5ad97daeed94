"""Room for bodies: first come, first served, and nothing is lost or let in twice."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_sidecar.body_gate import FREE, BodyGate

K = 100 * 1024


async def test_small_bodies_pass_uncounted_whatever_waits():
    """An ordinary call never waits for a neighbour's upload."""
    gate = BodyGate(K)
    assert await gate.enter(K) == K
    waiter = asyncio.ensure_future(gate.enter(K))
    await asyncio.sleep(0)
    assert await asyncio.wait_for(gate.enter(FREE), 1) == 0
    assert gate.waiting == 1
    gate.leave(K)
    assert await waiter == K


async def test_bodies_enter_in_order():
    """A small one does not overtake a large one that waits before it."""
    gate, order = BodyGate(10 * K), []

    async def enter(name, size):
        await gate.enter(size)
        order.append(name)

    await gate.enter(6 * K)
    tasks = [asyncio.ensure_future(enter(n, s)) for n, s in (("large", 8 * K), ("small", K), ("other", K))]
    await asyncio.sleep(0)
    assert order == []
    gate.leave(6 * K)
    await asyncio.gather(*tasks)
    assert order == ["large", "small", "other"]
    assert gate.in_flight == 10 * K


async def test_a_waiter_that_leaves_makes_room_for_those_behind_it():
    """Its place is given up at once."""
    gate = BodyGate(10 * K)
    await gate.enter(5 * K)
    large = asyncio.ensure_future(gate.enter(8 * K))
    small = asyncio.ensure_future(gate.enter(2 * K))
    await asyncio.sleep(0)
    large.cancel()
    assert await asyncio.wait_for(small, 1) == 2 * K
    assert gate.in_flight == 7 * K


async def test_a_size_above_all_takes_everything_and_no_more():
    """A body larger than the gate is cut to it instead of waiting for ever."""
    gate = BodyGate(10 * K)
    assert await asyncio.wait_for(gate.enter(99 * K), 1) == 10 * K
    gate.leave(10 * K)
    assert gate.in_flight == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.integers(1, 15)),
        st.tuples(st.just("leave"), st.integers(0, 20)),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
        st.tuples(st.just("leave and cancel"), st.integers(0, 20)),
    ),
    max_size=60,
)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_the_count_is_what_is_inside_and_nobody_waits_beside_an_empty_gate(steps):
    """Any order of entering, leaving and giving up, also in the very moment of being let in."""
    asyncio.run(_play(steps))


async def _play(steps):
    gate, inside, waiting = BodyGate(10 * K), [], []

    async def settle():
        for _ in range(3):
            await asyncio.sleep(0)
        for task in [t for t in waiting if t.done()]:
            waiting.remove(task)
            if not task.cancelled():
                inside.append(task.result())

    for kind, value in steps:
        if kind == "enter":
            waiting.append(asyncio.ensure_future(gate.enter(value * K)))
        if kind.startswith("leave") and inside:
            gate.leave(inside.pop(value % len(inside)))
        if kind.endswith("cancel") and waiting:
            waiting[value % len(waiting)].cancel()
        await settle()
        assert gate.in_flight == sum(inside) <= gate.capacity
        assert gate.waiting == len(waiting)
        assert inside or not waiting
    while inside:
        gate.leave(inside.pop())
        await settle()
    assert (gate.in_flight, gate.waiting, waiting) == (0, 0, [])
