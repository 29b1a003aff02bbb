"""The states of experiments: what is counted, refused, fenced off, retried, and what several threads do at a time."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from analogjax.cloud.errors import Refused
from analogjax.cloud.quota import Limits
from analogjax.cloud.service.disposal import forget_drafts
from analogjax.cloud.service.epochs import read_epochs
from analogjax.cloud.service.ledger import Ledger, Superseded
from analogjax.cloud.service.tables import Experiment
from analogjax.cloud.service.tokens import create_token


@pytest.fixture
def ledger(database):
    return Ledger(database, Limits(backoff=0.0))


def user(ledger, name="ada"):
    return create_token(ledger.database, name)[1].user


def waiting(ledger, owner, id):
    return ledger.put(owner, id, "n", "cpu", '{"x": 1}', 3)[0]


def epoch(number, **metrics):
    return {"epoch": number, "accuracy": 0.5} | metrics


def test_from_draft_to_completed(ledger):
    owner = user(ledger)
    made = ledger.create(owner, "first", "train")
    assert made.status == "draft" and ledger.of_user(owner) == []
    with pytest.raises(Refused, match="no valid input"):
        ledger.submit(owner, made.id)
    ledger.describe(made.id, "{}", 2)
    assert ledger.submit(owner, made.id, "cpu").status == "waiting"
    with pytest.raises(Refused, match="can't change"):
        ledger.describe(made.id, "{1}", 2)
    claim = ledger.claim()
    assert (claim.experiment, claim.attempt, claim.device) == (made.id, 1, "cpu")
    assert not ledger.beat(made.id, 1, claim.secret, [epoch(0)])
    assert ledger.get(owner, made.id).status == "running"
    assert ledger.finish(made.id, 1, "completed", None, [epoch(0), epoch(1)])
    ended = ledger.get(owner, made.id)
    assert ended.status == "completed" and ended.ended >= ended.started
    assert [entry["epoch"] for entry in read_epochs(ledger.database, made.id)] == [0, 1]
    assert read_epochs(ledger.database, made.id, after=0) == [epoch(1)]


def test_submitting_again_changes_nothing(ledger):
    owner = user(ledger)
    first, new = ledger.put(owner, "a" * 8, "n", "cpu", "{}", 1)
    again, second = ledger.put(owner, "a" * 8, "n", "cpu", "{}", 1)
    assert new and not second and first.id == again.id and len(ledger.of_user(owner)) == 1
    with pytest.raises(Refused, match="another experiment with this id") as refused:
        ledger.put(owner, "a" * 8, "n", "cpu", '{"other": 1}', 1)
    assert refused.value.status == 409
    assert ledger.submit(owner, first.id).queued == first.queued


def test_another_user_sees_nothing(ledger):
    ada, bob = user(ledger), user(ledger, "bob")
    waiting(ledger, ada, "a" * 8)
    for act in (ledger.get, ledger.cancel, ledger.submit):
        with pytest.raises(Refused, match="no such experiment") as refused:
            act(bob, "a" * 8)
        assert refused.value.status == 404
    with pytest.raises(Refused, match="another experiment"):
        waiting(ledger, bob, "a" * 8)
    assert ledger.of_user(bob) == []


def test_an_old_attempt_is_fenced_off(ledger):
    owner = user(ledger)
    waiting(ledger, owner, "a" * 8)
    first = ledger.claim()
    ledger.lost("a" * 8, 1, "its worker was killed")
    second = ledger.claim()
    assert second.attempt == 2 and second.secret != first.secret
    with pytest.raises(Superseded):
        ledger.beat("a" * 8, 1, first.secret, [epoch(0)])
    with pytest.raises(Refused, match="not the secret"):
        ledger.beat("a" * 8, 2, first.secret, [])
    assert not ledger.finish("a" * 8, 1, "completed", None, [epoch(0)])
    assert ledger.get(owner, "a" * 8).status == "waiting" and read_epochs(ledger.database, "a" * 8) == []
    ledger.beat("a" * 8, 2, second.secret, [])
    assert ledger.finish("a" * 8, 2, "completed", None, [])
    with pytest.raises(Superseded):
        ledger.beat("a" * 8, 2, second.secret, [])


def test_attempts_without_progress_are_bounded(ledger):
    owner = user(ledger)
    waiting(ledger, owner, "a" * 8)
    for number in range(1, ledger.limits.attempts + 1):
        assert ledger.claim().attempt == number
        ledger.lost("a" * 8, number, "its worker was killed")
    ended = ledger.get(owner, "a" * 8)
    assert ended.status == "failed" and "its worker was killed; 4 attempts in a row" in ended.reason
    assert ledger.claim() is None


def test_an_attempt_with_progress_does_not_count(ledger):
    owner = user(ledger)
    waiting(ledger, owner, "a" * 8)
    for number in range(1, 11):
        claim = ledger.claim()
        ledger.beat("a" * 8, number, claim.secret, [epoch(number - 1)])
        ledger.lost("a" * 8, number, "its node went away")
    assert ledger.get(owner, "a" * 8).status == "waiting" and len(read_epochs(ledger.database, "a" * 8)) == 10


def test_a_retry_waits_longer_each_time(ledger):
    ledger.limits = replace(ledger.limits, backoff=10.0, attempts=9)
    owner = user(ledger)
    waiting(ledger, owner, "a" * 8)
    waits = []
    for number in (1, 2, 3):
        with ledger.database.transaction() as session:
            session.execute(sa.update(Experiment).values(not_before=0.0))
        ledger.claim()
        ledger.lost("a" * 8, number, "why")
        assert ledger.claim() is None
        waits.append(round(ledger.get(owner, "a" * 8).not_before - time.time()))
    assert waits == [10, 20, 40]


def test_cancelling(ledger):
    owner = user(ledger)
    waiting(ledger, owner, "a" * 8)
    assert ledger.cancel(owner, "a" * 8).status == "cancelled"
    waiting(ledger, owner, "b" * 8)
    claim = ledger.claim()
    assert not ledger.beat("b" * 8, 1, claim.secret, [])
    assert ledger.cancel(owner, "b" * 8).cancelling
    assert ledger.beat("b" * 8, 1, claim.secret, [])
    ledger.finish("b" * 8, 1, "cancelled", "cancelled by its owner", [epoch(0)])
    ended = ledger.get(owner, "b" * 8)
    assert (ended.status, ended.reason, ended.cancelling) == ("cancelled", "cancelled by its owner", False)
    assert ledger.cancel(owner, "b" * 8).status == "cancelled"


def test_a_cancelled_attempt_that_dies_is_not_tried_again(ledger):
    owner = user(ledger)
    waiting(ledger, owner, "a" * 8)
    ledger.claim()
    ledger.cancel(owner, "a" * 8)
    ledger.lost("a" * 8, 1, "its worker was killed")
    assert ledger.get(owner, "a" * 8).status == "cancelled"


def test_the_time_limit(ledger):
    ledger.limits = replace(ledger.limits, seconds=0.01)
    owner = user(ledger)
    waiting(ledger, owner, "a" * 8)
    claim = ledger.claim()
    ledger.beat("a" * 8, 1, claim.secret, [])
    time.sleep(0.02)
    found = ledger.get(owner, "a" * 8)
    assert not ledger.stop_late(found, ledger.limits.seconds - 1.0) and ledger.stop_late(found, 1e6)
    assert ledger.beat("a" * 8, 1, claim.secret, [])
    ledger.finish("a" * 8, 1, "cancelled", "cancelled by its owner", [])
    ended = ledger.get(owner, "a" * 8)
    assert ended.status == "failed" and "time limit" in ended.reason


def test_limits_of_the_queue(ledger):
    ledger.limits = Limits(queued=3, queued_each=2, drafts_each=2)
    ada, bob, eve = user(ledger), user(ledger, "bob"), user(ledger, "eve")
    for n in range(2):
        waiting(ledger, ada, f"{n}" * 8)
    with pytest.raises(Refused, match="You have 2") as refused:
        waiting(ledger, ada, "9" * 8)
    assert refused.value.status == 429
    waiting(ledger, bob, "b" * 8)
    with pytest.raises(Refused, match="queue is full"):
        waiting(ledger, eve, "e" * 8)
    for _ in range(2):
        ledger.create(eve, "draft", "train")
    with pytest.raises(Refused, match="never submitted, of 2 allowed: delete"):
        ledger.create(eve, "draft", "train")


def test_users_take_turns(ledger):
    ada, bob = user(ledger), user(ledger, "bob")
    for n in range(4):
        waiting(ledger, ada, f"{n}" * 8)
    waiting(ledger, bob, "b" * 8)
    assert [ledger.claim().experiment[0] for _ in range(5)] == ["0", "b", "1", "2", "3"]
    assert ledger.claim() is None


def test_an_engine_that_refuses_costs_no_attempt(ledger):
    owner = user(ledger)
    waiting(ledger, owner, "a" * 8)
    for _ in range(10):
        ledger.unclaim(ledger.claim(), 0.0)
    found = ledger.get(owner, "a" * 8)
    assert found.status == "waiting" and found.stalled == 0 and found.attempt == 10


def test_forgotten_drafts_are_removed(ledger):
    owner = user(ledger)
    made = ledger.create(owner, "draft", "train")
    waiting(ledger, owner, "a" * 8)
    assert forget_drafts(ledger.database) == []
    assert forget_drafts(ledger.database, older=-1.0) == [made.id]
    assert ledger.get(owner, "a" * 8).status == "waiting"


def test_many_threads_claim_each_experiment_once(ledger):
    owner = user(ledger)
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda n: waiting(ledger, owner, f"{n:08d}").id, range(60)))
        claims = list(pool.map(lambda _: ledger.claim(), range(80)))
    claimed = [claim.experiment for claim in claims if claim is not None]
    assert sorted(claimed) == sorted(made) and len(set(claimed)) == 60


def test_the_same_submission_from_many_threads_is_one(ledger):
    owner = user(ledger)
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: ledger.put(owner, "a" * 8, "n", "cpu", "{}", 1)[1], range(32)))
    assert sum(made) == 1 and len(ledger.of_user(owner)) == 1
