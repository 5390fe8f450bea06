"""Every recorded request, through every way into the runtime, comes back the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from inference_runtime import errors

from tests.contract.corpus import NAMES, Corpus, same
from tests.contract.players import PLAYERS

# These need a start, a load, a crowd, a clock, a hang-up or a fault in the code.
NOT_BY_A_REQUEST = {
    errors.InvalidSettings,
    errors.ModelNotLoaded,
    errors.NotReady,
    errors.Overloaded,
    errors.DeadlineExceeded,
    errors.ClientGone,
}


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("name", NAMES)
def test_replies_are_the_recorded_ones(name: str, player: str, tmp_path: Path) -> None:
    corpus = Corpus(name)
    differences = {}
    with PLAYERS[player](corpus.environ(tmp_path)) as play:
        for exchange in corpus.exchanges:
            answered = play(exchange.request)
            if answered is not None and not same(exchange.reply, answered):
                differences[exchange.name] = {"recorded": exchange.reply, "answered": answered}
    assert differences == {}


@pytest.mark.parametrize("name", NAMES)
def test_names_tell_exchanges_apart(name: str) -> None:
    names = [exchange.name for exchange in Corpus(name).exchanges]
    assert len(names) == len(set(names))


def test_the_corpus_holds_every_error_that_a_request_can_bring_about() -> None:
    statuses = {e.reply.status for name in NAMES for e in Corpus(name).exchanges}
    expected = {cls.status for cls in errors.InferenceError.__subclasses__()} - {
        cls.status for cls in NOT_BY_A_REQUEST
    }
    assert statuses >= expected | {500}


def test_a_reply_that_differs_is_noticed() -> None:
    exchange = next(Corpus("digits").exchanges)
    reply = exchange.reply
    assert same(reply, reply)
    changed = {**reply.body, "predictions": {**reply.body["predictions"], "label": 4}}
    assert not same(reply, type(reply)(reply.status, reply.headers, changed))
    assert not same(reply, type(reply)(201, reply.headers, reply.body))
    assert not same(reply, type(reply)(reply.status, {}, reply.body))
