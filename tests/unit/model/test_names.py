"""What a value out of the database becomes as a label value."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from parsl_exporter.model.names import LONGEST, UNKNOWN, Names, name

anything = st.none() | st.text() | st.binary() | st.integers() | st.floats()


def test_what_the_database_does_not_give_is_unknown() -> None:
    assert [name(None), name("")] == [UNKNOWN, UNKNOWN] == ["unknown", "unknown"]


def test_other_types_are_spelled_as_python_does() -> None:
    assert [name(7), name(2.5), name(b"ab\xff")] == ["7", "2.5", "ab\\xff"]


def test_a_name_of_200_characters_stays() -> None:
    assert name("é" * LONGEST) == "é" * LONGEST


def test_a_longer_name_keeps_its_beginning_and_says_that_it_was_cut() -> None:
    assert name("x" * 300) == "x" * 191 + "~0d4e2ca9"  # sha256 of 300 times x


def test_two_long_names_stay_two() -> None:
    assert name("x" * 10_000 + "a") != name("x" * 10_000 + "b")


@settings(deadline=None)
@given(anything)
def test_a_name_is_never_empty_nor_long_and_naming_twice_changes_nothing(value: object) -> None:
    found = name(value)
    assert 0 < len(found) <= LONGEST
    assert name(found) == found


@settings(deadline=None)
@given(st.lists(anything))
def test_names_remembers_what_name_says(values: list[object]) -> None:
    names = Names()
    assert [names[value] for value in [*values, *values]] == [name(value) for value in [*values, *values]]


def test_names_remembers_no_more_than_so_many() -> None:
    names = Names()
    assert [names[str(i)] for i in range(25_000)] == [str(i) for i in range(25_000)]
    assert len(names) <= 10_000
