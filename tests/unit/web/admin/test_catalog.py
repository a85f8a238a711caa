"""The table of operations."""

from __future__ import annotations

import re

from relay.web.admin.catalog import operations


def test_names_and_routes_are_unique() -> None:
    """One operation would hide another."""
    table = operations()
    assert len({one.name for one in table}) == len(table)
    assert len({(one.method, one.path) for one in table}) == len(table)


def test_each_path_has_the_parameters_of_its_type() -> None:
    """Otherwise every call would be answered 404."""
    for one in operations():
        assert set(re.findall(r"{(\w+)}", one.path)) == set(one.path_type.__struct_fields__)


def test_groups_stand_together() -> None:
    """The reference shows each once."""
    tags = [one.tag for one in operations()]
    starts = [tag for index, tag in enumerate(tags) if index == 0 or tags[index - 1] != tag]
    assert len(starts) == len(set(starts))


def test_every_change_may_be_refused_for_its_form_or_its_session() -> None:
    """Nothing but GET is safe."""
    for one in operations():
        assert (403 in one.errors) == (one.method != "GET")
