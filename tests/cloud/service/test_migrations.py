"""Databases of earlier versions, with what they held: brought up to date, and used."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from analogjax.cloud.quota import Limits
from analogjax.cloud.service import listing, migrations, tokens
from analogjax.cloud.service.epochs import read_epochs
from analogjax.cloud.service.ledger import Ledger
from analogjax.cloud.service.sessions import Signer
from analogjax.cloud.service.tables import Database

_TEXT = "ajx_a-token-of-the-first-version"
_ROW = {
    "user": "u1", "name": "of old", "category": "train", "device": "cpu", "created": 1000.0, "has_payload": False,
    "queued": 1000.5, "not_before": 0.0, "stalled": 0, "reached": 0, "cancelling": False, "epochs_planned": 3,
}  # fmt: skip


def old_database(database: Database, revision: str) -> None:
    """Take the database back to that revision, as if that version had made it."""
    with database.engine.begin() as connection:
        sa.MetaData().create_all(connection)
        meta = sa.MetaData()
        meta.reflect(connection)
        meta.drop_all(connection)
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["engine"] = database.engine
    command.upgrade(config, revision)


def fill(database: Database) -> None:
    """What the first version left: a user, a token, a completed training with its epochs, one that runs, a draft."""
    meta = sa.MetaData()
    rows = [
        ("completed", "c" * 8, {"attempt": 2, "dispatched": False, "ended": 1100.0, "started": 1001.0}),
        ("running", "r" * 8, {"attempt": 1, "dispatched": True, "secret": tokens.digest("s"), "started": 1001.0}),
        ("draft", "d" * 8, {"attempt": 0, "dispatched": False, "description": None, "queued": None}),
    ]
    with database.engine.begin() as connection:
        meta.reflect(connection)
        add = lambda table, **values: connection.execute(meta.tables[table].insert().values(**values))  # noqa: E731
        add("users", id="u1", name="ada", created=1.0)
        add("tokens", id="t1", user="u1", label="", sha256=tokens.digest(_TEXT), created=1.0)
        for status, id, more in rows:
            add("experiments", **(_ROW | {"id": id, "status": status, "description": '{"dataset": "SVHN"}'} | more))
        for n in range(3):
            metrics = json.dumps({"epoch": n, "accuracy": n / 4, "time_epoch": 2.0})
            add("epochs", experiment="c" * 8, epoch=n, metrics=metrics)


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_a_database_of_an_earlier_version_is_brought_up_to_date_with_all_that_it_holds(database, revision):
    old_database(database, revision)
    fill(database)
    database.migrate()
    caller = tokens.caller_by_token(database, _TEXT)
    assert caller.name == "ada"
    signer = Signer(database)
    assert signer.caller(signer.session(caller)).user == "u1"
    found, total = listing.page(database, "u1", listing.Query(sort="accuracy"))
    assert total == 2 and [one.id for one in found] == ["c" * 8, "r" * 8]
    done = found[0]
    assert (done.epochs_done, done.accuracy, done.epoch_seconds, done.dataset) == (3, 0.5, 2.0, "SVHN")
    assert (done.tags, done.notes, done.tidied) == ("[]", "", False)
    assert [entry["epoch"] for entry in read_epochs(database, "c" * 8, after=0)] == [1, 2]
    ledger = Ledger(database, Limits())
    assert not ledger.beat("r" * 8, 1, "s", [{"epoch": 0, "accuracy": 0.5}])
    assert ledger.finish("r" * 8, 1, "completed", None, [{"epoch": 0, "accuracy": 0.5}])
    assert ledger.get("u1", "d" * 8).dataset is None
