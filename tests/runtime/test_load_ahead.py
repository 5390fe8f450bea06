"""An engine that loads while something else goes on."""

from __future__ import annotations

import gc
import weakref
from threading import Event, get_ident

import pytest
from inference_runtime.engine.ahead import LoadAhead
from inference_runtime.errors import ModelNotLoaded


class Fake:
    """Stands for an engine."""


def test_it_loads_before_anyone_asks() -> None:
    started = Event()

    def load() -> Fake:
        started.set()
        return Fake()

    engine = LoadAhead(load)  # type: ignore[arg-type]
    assert started.wait(10)
    assert isinstance(engine(), Fake)


def test_only_the_first_engine_is_loaded_ahead() -> None:
    threads = []

    def load() -> Fake:
        threads.append(get_ident())
        return Fake()

    engine = LoadAhead(load)  # type: ignore[arg-type]
    assert engine() is not engine()
    assert threads[0] != threads[1] == get_ident()


def test_a_failure_comes_to_the_one_who_asks_and_the_next_tries_again() -> None:
    outcomes = iter([ModelNotLoaded("no such file"), None])

    def load() -> Fake:
        if error := next(outcomes):
            raise error
        return Fake()

    engine = LoadAhead(load)  # type: ignore[arg-type]
    with pytest.raises(ModelNotLoaded, match="no such file"):
        engine()
    assert isinstance(engine(), Fake)


def test_it_holds_no_engine_that_was_given_out() -> None:
    ahead = LoadAhead(Fake)  # type: ignore[arg-type]
    engine = weakref.ref(ahead())
    gc.collect()
    assert engine() is None
