"""What owners do with their experiments: find them, name them, share them, run them again, delete them."""

import json
import math
import time
from itertools import pairwise

import pytest

from analogjax.cloud.artefacts import Artefacts
from analogjax.cloud.quota import Limits
from analogjax.cloud.service import disposal
from analogjax.cloud.service.ledger import Ledger
from analogjax.cloud.service.listing import places
from analogjax.cloud.service.tables import Database
from analogjax.cloud.service.tokens import create_token
from tests.cloud.executors.clusters import until
from tests.cloud.experiments import submission
from tests.cloud.running_service import service_in_thread
from tests.cloud.service.test_protocol import Idle, created

_API = "/api/v1/experiments"


@pytest.fixture
def service(tmp_path):
    with service_in_thread(tmp_path / "home", Idle(), limits=Limits(attempts=1, backoff=0.0)) as running:
        yield running


def ask(service, method, path, headers=None, **given):
    import requests

    headers = headers or service.headers
    return requests.request(method, f"{service.url}{_API}{path}", headers=headers, timeout=30, **given)


def put(service, id, **given):
    answer = service.put(f"{_API}/{id}", json=submission(**given))
    assert answer.status_code == 201, answer.text


def ended(service, id, status="failed", epochs=2, reason="it was too hot"):
    """Take an experiment through an attempt that ends so."""
    ledger = service.app.state.experiments.ledger
    until(lambda: ledger.find(id).attempt > 0 and ledger.find(id).dispatched, 20, "its attempt")
    attempt = ledger.find(id).attempt
    entries = [{"epoch": n, "accuracy": 0.1 * (n + 1), "time_epoch": 3.0} for n in range(epochs)]
    assert ledger.finish(id, attempt, status, reason, entries)
    return attempt


def test_names_tags_and_notes(service):
    put(service, "a" * 8, name="first")
    changed = {"name": "better", "tags": ["tiki", "paper 2", "tiki"], "notes": "Drift?\nNo: 50 %."}
    shown = ask(service, "PATCH", f"/{'a' * 8}", json=changed).json()
    assert (shown["name"], shown["tags"], shown["notes"]) == ("better", ["paper 2", "tiki"], changed["notes"])
    assert ask(service, "PATCH", f"/{'a' * 8}", json={"notes": ""}).json()["name"] == "better"
    for wrong in ({"name": ""}, {"tags": ["a,b"]}, {"tags": ["x" * 41]}, {"status": "completed"}, {"tags": "tiki"}):
        assert ask(service, "PATCH", f"/{'a' * 8}", json=wrong).status_code == 422, wrong
    assert service.put(f"{_API}/{'a' * 8}", json=submission(name="first")).status_code == 200  # the same, renamed since


def test_a_list_is_searched_filtered_sorted_and_paged(service):
    for n, name in enumerate(("Pear 100%", "apple", "Quince", "fig_tree")):
        put(service, f"{n}" * 8, name=name, epochs=3)
    ended(service, "1" * 8, "completed", epochs=3)
    ended(service, "2" * 8, "failed", epochs=1)
    ask(service, "PATCH", f"/{'3' * 8}", json={"tags": ["Fruit"], "notes": "of the garden"})

    def names(**query):
        answer = ask(service, "GET", "", params=query)
        assert answer.status_code == 200, answer.text
        return [one["name"] for one in answer.json()], int(answer.headers["X-Total-Count"])

    assert names() == (["fig_tree", "Quince", "apple", "Pear 100%"], 4)
    assert names(sort="name", order="asc", limit=2) == (["apple", "fig_tree"], 4)
    assert names(sort="name", order="asc", limit=2, offset=2) == (["Pear 100%", "Quince"], 4)
    assert names(sort="accuracy")[0][:2] == ["apple", "Quince"]
    assert names(search="QUIN") == (["Quince"], 1) and names(search="garden fig") == (["fig_tree"], 1)
    assert names(search="0%") == (["Pear 100%"], 1) and names(search="g_t") == (["fig_tree"], 1)
    assert names(search="_") == (["fig_tree"], 1)  # no wildcard
    assert names(status=["failed", "completed"], sort="epochs") == (["apple", "Quince"], 2)
    assert names(tag="Fruit") == (["fig_tree"], 1) and names(tag="Fru") == ([], 0)
    assert names(category="inference") == ([], 0) and names(dataset="Digits")[1] == 4
    assert names(scope="shared") == ([], 0)
    for wrong in ({"sort": "user"}, {"limit": 0}, {"offset": -1}, {"status": "odd"}, {"scope": "everybody"}):
        assert ask(service, "GET", "", params=wrong).status_code == 422, wrong


def test_times_places_and_what_remains(service):
    ledger = service.app.state.experiments.ledger
    put(service, "a" * 8, epochs=10)
    until(lambda: ledger.find("a" * 8).dispatched, 20)
    shown = ask(service, "GET", f"/{'a' * 8}").json()
    assert shown["submitted"] >= shown["created"] and shown["started"] is None and shown["elapsed"] is None
    assert shown["owner"] == "ada" and shown["remaining"] is None
    ended(service, "a" * 8, "completed", epochs=10)
    shown = ask(service, "GET", f"/{'a' * 8}", params={"epochs": False}).json()
    assert shown["epochs"] == [] and shown["epochs_done"] == 10 and shown["accuracy"] == pytest.approx(1.0)
    assert shown["ended"] is not None and shown["place"] is None


def test_places_in_the_queue_are_those_in_which_it_is_served(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'queue.db'}")
    database.migrate()
    ledger = Ledger(database, Limits())
    owners = {name: create_token(database, name)[1].user for name in ("ada", "bob", "eve")}
    order = "ada ada ada bob ada bob eve ada bob".split()
    for n, name in enumerate(order):
        ledger.put(owners[name], f"{n}" * 8, "n", "cpu", "{}", 1)
    ledger.claim()
    foretold = places(database)
    served = [claim.experiment for claim in iter(ledger.claim, None)]
    assert sorted(foretold, key=foretold.get) == served and sorted(foretold.values()) == list(range(1, len(order)))
    assert places(database) == {}
    database.close()


def test_epochs_come_by_increments_and_thinned(service):
    put(service, "a" * 8, epochs=100)
    ended(service, "a" * 8, "completed", epochs=100)
    path = f"/{'a' * 8}/epochs"
    whole = ask(service, "GET", path).json()
    assert [entry["epoch"] for entry in whole["epochs"]] == list(range(100)) and whole["last"] == 99
    assert whole["status"] == "completed" and whole["epochs_done"] == 100
    part = ask(service, "GET", path, params={"after": 10, "limit": 5}).json()
    assert [entry["epoch"] for entry in part["epochs"]] == [11, 12, 13, 14, 15] and part["last"] == 15
    thin = [entry["epoch"] for entry in ask(service, "GET", path, params={"points": 7}).json()["epochs"]]
    assert len(thin) == 7 and thin[-1] == 99 and len({b - a for a, b in pairwise(thin)}) == 1
    assert ask(service, "GET", path, params={"points": 1}).json()["last"] == 99
    none = ask(service, "GET", path, params={"after": 99}).json()
    assert none["epochs"] == [] and none["last"] == 99


def test_a_log_is_followed(service):
    put(service, "a" * 8)
    assert ended(service, "a" * 8) == 1
    text = f"log of ajx-{'a' * 8}-1\n"
    first = ask(service, "GET", f"/{'a' * 8}/log").json()
    assert first == {"attempt": 1, "text": text, "next": len(text), "ended": True}
    rest = ask(service, "GET", f"/{'a' * 8}/log", params={"attempt": 1, "after": 4}).json()
    assert rest["text"] == text[4:]
    other = ask(service, "GET", f"/{'a' * 8}/log", params={"attempt": 7, "after": 4}).json()
    assert other["text"] == text  # of another attempt: from its beginning


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_failed_or_cancelled_one_runs_again_with_what_it_had(service, status):
    put(service, "a" * 8, epochs=5)
    attempt = ended(service, "a" * 8, status, epochs=3)
    before = ask(service, "GET", f"/{'a' * 8}").json()
    assert before["status"] == status and before["reason"] == "it was too hot"
    again = ask(service, "POST", f"/{'a' * 8}/rerun").json()
    assert (again["status"], again["reason"], again["ended"], again["epochs_done"]) == ("waiting", None, None, 3)
    assert ask(service, "POST", f"/{'a' * 8}/rerun").json()["status"] in ("waiting", "running")  # asked twice
    assert ended(service, "a" * 8, "failed", epochs=0) == attempt + 1
    assert len(ask(service, "GET", f"/{'a' * 8}").json()["epochs"]) == 3  # those of the attempt before stay


def test_a_completed_one_and_a_cancelled_draft_do_not_run_again(service):
    put(service, "a" * 8)
    ended(service, "a" * 8, "completed", reason=None)
    answer = ask(service, "POST", f"/{'a' * 8}/rerun")
    assert answer.status_code == 409 and "completed" in answer.json()["message"]
    draft = created(service)[0]
    ask(service, "POST", f"/{draft}/cancel")
    assert ask(service, "POST", f"/{draft}/rerun").json()["status"] == "waiting"  # it had an input
    empty = service.post("/experiments", json={"name": "n", "category": "train"}).json()["id"]
    ask(service, "POST", f"/{empty}/cancel")
    assert ask(service, "POST", f"/{empty}/rerun").status_code == 409


def test_what_is_deleted_is_gone_with_its_files(service):
    experiments = service.app.state.experiments
    put(service, "a" * 8)
    answer = ask(service, "DELETE", f"/{'a' * 8}")
    assert answer.status_code == 409 and "cancel it" in answer.json()["message"]
    attempt = ended(service, "a" * 8)
    artefacts = Artefacts(experiments.store, "a" * 8)
    artefacts.checkpoints.write("step.bin", b"x" * 1000)
    assert artefacts.location.list()
    assert ask(service, "DELETE", f"/{'a' * 8}", service.user("bob")).status_code == 404
    assert ask(service, "DELETE", f"/{'a' * 8}").status_code == 204
    assert ask(service, "DELETE", f"/{'a' * 8}").status_code == 404
    assert ask(service, "GET", "").json() == []
    until(lambda: not artefacts.location.list() and not disposal.discarded(experiments.database), 20, "the cleaner")
    executor = service.app.state.dispatcher.executor
    assert f"ajx-{'a' * 8}-{attempt}" not in executor.tickets
    put(service, "a" * 8)  # the id is free again


def test_an_id_is_not_used_again_before_its_files_are_gone(service):
    experiments = service.app.state.experiments
    experiments.cleaner.stop()
    put(service, "a" * 8)
    ended(service, "a" * 8)
    assert ask(service, "DELETE", f"/{'a' * 8}").status_code == 204
    answer = service.put(f"{_API}/{'a' * 8}", json=submission())
    assert answer.status_code == 409 and "new id" in answer.json()["message"]
    experiments.cleaner.round()  # as after the next start
    put(service, "a" * 8)


def test_ended_ones_are_tidied_and_counted(service):
    experiments = service.app.state.experiments
    experiments.cleaner.stop()
    for id, status in (("a" * 8, "completed"), ("b" * 8, "failed")):
        put(service, id)
        ended(service, id, status)
        artefacts = Artefacts(experiments.store, id)
        artefacts.checkpoints.write("step.bin", b"x" * 1000)
        artefacts.attempt(0).write("old.bin", b"x" * 500)
        artefacts.attempt(1).write("new.bin", b"x" * 50)
    experiments.cleaner.round()
    left = [{entry.name for entry in Artefacts(experiments.store, id).location.list()} for id in ("a" * 8, "b" * 8)]
    assert left[0] == {"attempts/1/ticket.json", "attempts/1/new.bin"} and left[1] == left[0] | {"checkpoints/step.bin"}
    shown = {one["id"]: one["stored"] for one in ask(service, "GET", "").json()}
    assert shown["b" * 8] == shown["a" * 8] + 1000 > 1050
    assert service.get("/api/v1/me").json()["stored"] == sum(shown.values())


def test_retention_spares_what_is_young_active_or_read(service):
    experiments = service.app.state.experiments
    for id in ("a" * 8, "b" * 8, "c" * 8):
        put(service, id)
    ended(service, "a" * 8, "completed", reason=None)
    ended(service, "b" * 8)
    with experiments.database.transaction() as session:  # one that waits and reads the chips of the first
        reading = session.merge(experiments.ledger.find("c" * 8))
        reading.category, reading.description = "inference", json.dumps({"trained": "a" * 8}, separators=(",", ":"))
    assert disposal.expire(experiments.database, 60.0) == []
    time.sleep(0.01)
    assert disposal.expire(experiments.database, 0.0) == ["b" * 8]
    answer = ask(service, "DELETE", f"/{'a' * 8}")
    assert answer.status_code == 409 and "c" * 8 in answer.json()["message"]


def test_another_user_reads_what_is_shared_and_changes_nothing(service):
    bob = service.user("bob")
    put(service, "a" * 8, name="hers")
    ended(service, "a" * 8)
    for path in ("", "/epochs", "/log", "/logs", "/files/description.json"):
        assert ask(service, "GET", f"/{'a' * 8}{path}", bob).status_code == 404, path
    assert ask(service, "PUT", f"/{'a' * 8}/shares/bob", bob).status_code == 404
    assert ask(service, "PUT", f"/{'a' * 8}/shares/nobody").status_code == 404
    assert ask(service, "PUT", f"/{'a' * 8}/shares/ada").status_code == 422
    assert ask(service, "PUT", f"/{'a' * 8}/shares/bob").status_code == 204
    assert ask(service, "GET", f"/{'a' * 8}").json()["shared_with"] == ["bob"]
    for path in ("", "/epochs", "/log", "/logs", "/files/description.json"):
        assert ask(service, "GET", f"/{'a' * 8}{path}", bob).status_code == 200, path
    seen = ask(service, "GET", f"/{'a' * 8}", bob).json()
    assert seen["owner"] == "ada" and seen["shared_with"] == []
    assert ask(service, "GET", "", bob).json() == []
    assert [one["name"] for one in ask(service, "GET", "", bob, params={"scope": "all"}).json()] == ["hers"]
    changes = (("PATCH", ""), ("DELETE", ""), ("POST", "/rerun"), ("POST", "/cancel"), ("DELETE", "/shares/bob"))
    for method, path in changes:
        given = {"json": {}} if method == "PATCH" else {}
        assert ask(service, method, f"/{'a' * 8}{path}", bob, **given).status_code == 404, (method, path)
    assert ask(service, "DELETE", f"/{'a' * 8}/shares/bob").status_code == 204
    assert ask(service, "GET", f"/{'a' * 8}", bob).status_code == 404


def test_metrics_that_are_no_numbers_are_null_in_json_and_nan_in_python(service):
    from analogjax.cloud import CloudRunner
    from analogjax.cloud.heartbeat import Heartbeat

    experiments = service.app.state.experiments
    put(service, "a" * 8, epochs=2)
    until(lambda: experiments.store.exists(f"experiments/{'a' * 8}/attempts/1/ticket.json"), 20)
    ticket = Artefacts(experiments.store, "a" * 8).read_ticket(1)
    entry = {"epoch": 0, "accuracy": 0.1, "train_loss": 2.0, "valid_loss": float("nan"), "time_epoch": 1.0}
    with Heartbeat(ticket, "a" * 8, 1, on_stop=lambda: None) as heartbeat:
        heartbeat.epoch(entry)
        until(lambda: ask(service, "GET", f"/{'a' * 8}").json()["epochs"], 20, "the epoch")
    experiments.ledger.finish("a" * 8, 1, "completed", None, [entry, entry | {"epoch": 1, "accuracy": float("inf")}])
    for path in ("", "/epochs"):
        found = ask(service, "GET", f"/{'a' * 8}{path}")
        assert (
            "NaN" not in found.text and "Infinity" not in found.text and found.json()["epochs"][0]["valid_loss"] is None
        )
    assert found.json()["accuracy"] is None
    job = CloudRunner(service.url, service.token).get_experiment("a" * 8)
    assert math.isnan(job.epochs()[0]["valid_loss"]) and job.wait(1).name == "COMPLETED"
