"""Whether somebody may read: the cluster's answer, for some seconds, and nobody's where it cannot be asked."""

import pytest

from wfb_operator.ledger.cluster import ClusterAwayError
from wfb_operator.ledger.people.access import REMEMBERED_SECONDS, Access, Wish
from wfb_operator.ledger.people.person import Person

ANNA, USAGE = Person("anna", ("billing",)), Wish("list", "usage", "billing")


class Script:
    """An authorizer that a test writes."""

    def __init__(self):
        self.allows, self.asked, self.away = {("anna", "billing")}, [], False

    def allowed(self, person, wish):
        self.asked.append((person.name, wish.namespace))
        if self.away:
            raise ClusterAwayError("POST subjectaccessreviews: timeout")
        return (person.name, wish.namespace) in self.allows


@pytest.fixture
def world():
    """An authorizer, the access that asks it, and the clock between them."""
    script, clock = Script(), {"now": 0.0}
    return script, Access(script, lambda: clock["now"]), clock


async def test_the_cluster_decides_for_each_namespace(world):
    """One namespace says nothing of another, and nothing of all."""
    script, access, _ = world
    wishes = (USAGE, Wish("list", "usage", "other"), Wish("list", "usage"))
    assert [await access.allowed(ANNA, wish) for wish in wishes] == [True, False, False]
    assert script.asked == [("anna", "billing"), ("anna", "other"), ("anna", "")]


async def test_an_answer_is_remembered_for_some_seconds(world):
    """A page that looks every two seconds asks once; a right that was taken away ends soon after."""
    script, access, clock = world
    assert [await access.allowed(ANNA, USAGE) for _ in range(5)] == [True] * 5
    assert len(script.asked) == 1
    script.allows.clear()
    clock["now"] = REMEMBERED_SECONDS
    assert not await access.allowed(ANNA, USAGE)


async def test_groups_make_another_person(world):
    """The same name with other groups may have other rights: it is asked about anew."""
    script, access, _ = world
    await access.allowed(ANNA, USAGE)
    await access.allowed(Person("anna", ("auditors",)), USAGE)
    assert len(script.asked) == 2


async def test_nobody_reads_where_the_cluster_cannot_be_asked(world):
    """An error, not a yes; and it is not remembered."""
    script, access, _ = world
    script.away = True
    with pytest.raises(ClusterAwayError):
        await access.allowed(ANNA, USAGE)
    script.away = False
    assert await access.allowed(ANNA, USAGE)
