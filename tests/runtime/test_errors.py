from __future__ import annotations

import pytest
from inference_runtime import errors

CLASSES = [errors.InferenceError, *errors.InferenceError.__subclasses__()]


def test_codes_are_told_apart() -> None:
    assert len({cls.code for cls in CLASSES}) == len(CLASSES)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_status_says_whose_fault_it_is(cls: type[errors.InferenceError]) -> None:
    error = cls("why")
    assert 400 <= error.status < 600
    assert error.fault == ("client" if error.status < 500 else "server")
    assert str(error) == "why"


@pytest.mark.parametrize("cls", CLASSES)
def test_every_class_says_what_it_is(cls: type[errors.InferenceError]) -> None:
    assert cls.__doc__


def test_a_message_does_not_grow_with_what_it_quotes() -> None:
    message = str(errors.InvalidInput(f"unknown input {'x' * 1_000_000!r}"))
    assert message == f"unknown input '{'x' * (errors.LONGEST_MESSAGE - 15)}…"


def test_a_message_is_unicode_whatever_it_quotes() -> None:
    assert str(errors.MethodNotAllowed("\ud800 is not allowed")) == "\\ud800 is not allowed"
    assert str(errors.InvalidInput("é → 🎉")) == "é → 🎉"
