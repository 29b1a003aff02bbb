"""What operators do: keep services apart, see and stop users, pause the queue, back up, lose the machine, restore."""

import io
import shutil
import tarfile

import pytest
import sqlalchemy as sa

from analogjax.cli import main
from analogjax.cloud.artefacts import Artefacts, Outcome
from analogjax.cloud.errors import CloudError
from analogjax.cloud.quota import Limits
from analogjax.cloud.service import administration, backup
from analogjax.cloud.service.dispatcher import Dispatcher
from analogjax.cloud.service.hearing import Hearing
from analogjax.cloud.service.ledger import Ledger
from analogjax.cloud.service.possession import MARK, possession
from analogjax.cloud.service.room import Room
from analogjax.cloud.service.settings import Settings
from analogjax.cloud.service.tables import Database
from analogjax.cloud.service.tokens import caller_by_token, create_token
from analogjax.store import Location
from tests.cloud.executors.clusters import until
from tests.cloud.experiments import submission
from tests.cloud.running_service import service_in_thread
from tests.cloud.service.test_protocol import Idle


def test_a_database_has_one_service_at_a_time(database, tmp_path):
    stores = [Location.of(str(tmp_path / name)) for name in ("one", "two")]
    with possession(database, stores[0]):
        other = Database(database.url.render_as_string(hide_password=False))
        with pytest.raises(CloudError, match="Another analogjax serve uses the database"), possession(other, stores[0]):
            pass
        other.close()
    with possession(database, stores[0]):  # it is free again
        pass


def test_a_store_that_is_not_the_databases_is_refused_and_a_moved_one_taken(database, tmp_path):
    stores = [Location.of(str(tmp_path / name)) for name in ("one", "two", "three")]
    with possession(database, stores[0]):
        pass
    with pytest.raises(CloudError, match="has no files of this service"), possession(database, stores[1]):
        pass
    other = Database(f"sqlite:///{tmp_path / 'other.db'}")
    other.migrate()
    with pytest.raises(CloudError, match="belongs to another service"), possession(other, stores[0]):
        pass
    other.close()
    shutil.move(tmp_path / "one", tmp_path / "three")
    with possession(database, stores[2]):
        pass
    stores[2].write(MARK, b"[]")
    with pytest.raises(CloudError, match="damaged"), possession(database, stores[2]):
        pass


def test_a_disabled_user_is_refused_at_once(tmp_path):
    with service_in_thread(tmp_path / "home", Idle()) as service:
        assert service.get("/api/v1/me").status_code == 200
        session = service.post("/token/login", json={"token": service.token}).json()["jwt"]
        administration.disable(service.app.state.experiments.database, "ada")
        assert service.get("/api/v1/me").status_code == 401
        service.token, token = session, service.token
        assert service.get("/api/v1/me").status_code == 401
        service.token = token
        administration.disable(service.app.state.experiments.database, "ada", off=False)
        assert service.get("/api/v1/me").status_code == 200
        with pytest.raises(CloudError, match="admin users"):
            administration.disable(service.app.state.experiments.database, "eve")


def test_nothing_starts_while_the_service_is_drained(tmp_path):
    with service_in_thread(tmp_path / "home", Idle()) as service:
        database = service.app.state.experiments.database
        administration.drain(database, "a new disk on Tuesday")
        assert service.put(f"/api/v1/experiments/{'a' * 8}", json=submission()).status_code == 201
        assert service.get("/api/v1/me").json()["paused"] == "a new disk on Tuesday"
        service.app.state.dispatcher.wake()
        service.app.state.dispatcher.wake()
        assert [(one.id, name) for one, name in administration.queue(database)] == [("a" * 8, "ada")]
        assert service.get(f"/api/v1/experiments/{'a' * 8}").json()["attempt"] == 0
        administration.drain(database, None)
        until(lambda: service.get(f"/api/v1/experiments/{'a' * 8}").json()["attempt"] == 1, 20, "its start")
        assert service.get("/api/v1/me").json()["paused"] is None
        assert administration.accounts(database)[0].queued == 1


def test_a_full_disk_pauses_the_queue_and_costs_no_attempt(database, tmp_path):
    ledger, engine = Ledger(database, Limits(attempts=2, backoff=0.0)), Idle()
    dispatcher = Dispatcher(Settings(home=tmp_path), ledger, engine, Hearing())
    owner = create_token(database, "ada")[1].user
    ledger.put(owner, "a" * 8, "n", "cpu", "{}", 3)
    full = Room((tmp_path,), 1)
    object.__setattr__(full, "short", lambda: "The disk is nearly full")
    dispatcher.room = full
    assert not dispatcher._dispatch() and "nearly full" in dispatcher.paused
    dispatcher.room = Room((tmp_path,), 1)
    for _ in range(5):
        assert dispatcher._dispatch() and dispatcher.paused is None
        dispatcher.room = full
        dispatcher._lost(ledger.get(owner, "a" * 8), "its worker ended without a result")
        found = ledger.get(owner, "a" * 8)
        assert found.status == "waiting" and found.stalled == 0 and "nearly full" in found.reason
        dispatcher.room = Room((tmp_path,), 1)
    for n in range(2):
        assert dispatcher._dispatch()
        dispatcher._lost(ledger.get(owner, "a" * 8), "its worker ended without a result")
        assert ledger.get(owner, "a" * 8).status == ("waiting", "failed")[n]


def test_room_is_measured_on_each_disk(tmp_path):
    assert Room.of((tmp_path / "not" / "yet", None), 1).short() is None
    total = shutil.disk_usage(tmp_path).total
    free = shutil.disk_usage(tmp_path).free
    told = Room.of((tmp_path,), 4 * total).short()  # a half of it is asked for
    assert (told is not None) == (free < total // 2)


def filled(home):
    """A service with two users, one completed experiment with files, one that runs."""
    with service_in_thread(home, Idle()) as service:
        experiments = service.app.state.experiments
        for n in range(2):
            assert service.put(f"/api/v1/experiments/{f'{n}' * 8}", json=submission(epochs=3)).status_code == 201
        ledger = experiments.ledger
        until(lambda: ledger.find("1" * 8).attempt == 1, 20)
        ledger.finish("0" * 8, 1, "completed", None, [{"epoch": n, "accuracy": 0.5} for n in range(3)])
        experiments.store.write(f"experiments/{'0' * 8}/attempts/1/output.pb", bytes(range(256)) * 40)
        service.put(f"/api/v1/experiments/{'0' * 8}/shares/bob")
        with possession(experiments.database, experiments.store):
            pass
        yield service


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_a_lost_machine_comes_back_from_its_backup(tmp_path, database):
    file = tmp_path / "service.tar"
    for service in filled(tmp_path / "home"):
        source = service.app.state.experiments
        assert backup.back_up(source.database, source.store, file) == len(source.store.list())
        before = service.get("/api/v1/experiments?sort=name").json()
        files = {entry.name: source.store.read(entry.name) for entry in source.store.list()}
        token = service.token
    assert file.stat().st_mode & 0o077 == 0
    shutil.rmtree(tmp_path / "home")
    with database.engine.begin() as connection:  # a new database, of either kind
        meta = sa.MetaData()
        meta.reflect(connection)
        meta.drop_all(connection)
    store = Location.of(str(tmp_path / "new" / "store"))
    assert backup.restore(database, store, file) == len(files)
    assert {entry.name: store.read(entry.name) for entry in store.list()} == files
    assert caller_by_token(database, token).name == "ada"
    with possession(database, store):
        url = database.url.render_as_string(hide_password=False)
        with service_in_thread(tmp_path / "new", Idle(), database=url) as service:
            service.token = token
            after = service.get("/api/v1/experiments?sort=name").json()
            assert [one["id"] for one in after] == [one["id"] for one in before]
            assert after[0]["status"] == "completed" and after[0]["epochs_done"] == 3
            until(lambda: service.get(f"/api/v1/experiments/{'1' * 8}").json()["attempt"] >= 1, 30, "the other one")
    with pytest.raises(CloudError, match="has been used"):
        backup.restore(database, store, file)


def test_a_damaged_backup_writes_nothing(tmp_path):
    file, store = tmp_path / "service.tar", Location.of(str(tmp_path / "store"))
    for service in filled(tmp_path / "home"):
        backup.back_up(service.app.state.experiments.database, service.app.state.experiments.store, file)
    whole = file.read_bytes()
    where = whole.index(bytes(range(256))) + 5
    empty = io.BytesIO()
    tarfile.open(fileobj=empty, mode="w").close()
    for damaged in (
        b"", b"no tar", whole[:-20_000], whole[: len(whole) // 2], whole[:where] + b"?" + whole[where + 1 :],
        empty.getvalue(),
    ):  # fmt: skip
        file.write_bytes(damaged)
        database = Database(f"sqlite:///{tmp_path / 'new.db'}")
        with pytest.raises(CloudError, match="damaged"):
            backup.restore(database, store, file)
        assert store.list() == [] and not sa.inspect(database.engine).get_table_names()
        database.close()


def test_the_operators_commands(tmp_path, capsys):
    home = tmp_path / "home"
    for service in filled(home):
        place = ["--home", str(home)]
        assert main(["cloud", "admin", "users", *place]) == 0
        assert "ada" in capsys.readouterr().out
        assert main(["cloud", "admin", "disable", "ada", *place]) == 0 and service.get("/api/v1/me").status_code == 401
        assert main(["cloud", "admin", "enable", "ada", *place]) == 0 and service.get("/api/v1/me").status_code == 200
        assert main(["cloud", "admin", "disable", "eve", *place]) == 1 and "'eve'" in capsys.readouterr().err
        assert main(["cloud", "admin", "queue", *place]) == 0 and "1" * 8 in capsys.readouterr().out
        service.app.state.experiments.cleaner.round()  # which counts
        assert main(["cloud", "admin", "disk", *place]) == 0
        told = capsys.readouterr().out
        assert "GiB" in told and "0" * 8 in told and "1" * 8 not in told
        assert main(["cloud", "admin", "drain", "new disk", *place]) == 0
        assert service.get("/api/v1/me").json()["paused"] == "new disk"
        assert main(["cloud", "admin", "resume", *place]) == 0
        assert main(["cloud", "backup", str(tmp_path / "b.tar"), *place]) == 0
    new = ["--home", str(tmp_path / "new")]
    assert main(["cloud", "restore", str(tmp_path / "b.tar"), *new]) == 0
    assert main(["cloud", "restore", str(tmp_path / "b.tar"), *new]) == 1
    assert main(["cloud", "restore", str(tmp_path / "missing.tar"), "--home", str(tmp_path / "other")]) == 1
    capsys.readouterr()
    assert main(["cloud", "admin", "users", *new]) == 0 and "ada" in capsys.readouterr().out


def test_metrics_tell_of_the_queue_run_times_and_disks(tmp_path):
    with service_in_thread(tmp_path / "home", Idle()) as service:
        experiments, database = service.app.state.experiments, service.app.state.experiments.database
        for id in ("a" * 8, "b" * 8):
            assert service.put(f"/api/v1/experiments/{id}", json=submission()).status_code == 201
        until(lambda: experiments.ledger.find("a" * 8).dispatched, 20)
        artefacts = Artefacts(experiments.store, "a" * 8)
        until(lambda: experiments.store.exists(f"experiments/{'a' * 8}/attempts/1/ticket.json"), 20)
        experiments.ledger.beat("a" * 8, 1, artefacts.read_ticket(1)["secret"], [])
        artefacts.write_outcome(1, Outcome("completed", None, [], {}), {})
        service.app.state.dispatcher.ended("a" * 8, 1)
        until(lambda: experiments.ledger.find("a" * 8).status == "completed", 20)
        until(lambda: experiments.ledger.find("b" * 8).dispatched, 20)
        administration.drain(database, "for a while")
        assert service.put(f"/api/v1/experiments/{'c' * 8}", json=submission()).status_code == 201
        text = service.get("/metrics").text
        found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        assert float(found['analogjax_run_seconds_count{status="completed"}']) == 1
        assert 0 < float(found["analogjax_queue_age_seconds"]) < 60 and float(found["analogjax_paused"]) == 1
        assert float(found["analogjax_disk_free_bytes"]) > 0 and "ada" not in text and "aaaa" not in text
