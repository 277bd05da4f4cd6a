"""What must go is gone, and the chain still verifies."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from commands import mfas, refusal
from mfas.service.ledger import LedgerError, verify
from mfas.service.signing import load_secret
from mfas.service.states import NotAllowedError, Policy
from mfas.service.store import NonceSeenError, Store, StoreError
from stored import BASE, PROMOTE, REJECT, Clock, decision, hashed, state, step


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(url: str, clock: Clock) -> Store:
    store = Store(url, clock=clock)
    store.migrate()
    store.add_site("door", Policy.AUTO, retention_days=2)
    store.add_site("gate", Policy.AUTO, retention_days=30)
    return store


def test_a_row_older_than_its_limit_is_gone(kept: Store, clock: Clock) -> None:
    for site in ("door", "gate"):
        kept.record_decision(decision(site, nonce=hashed("old"), request_id=f"old-{site}"))
        kept.record_steps(site, [step()])
    clock.pass_(days=1, hours=23)
    assert kept.purge() == ()
    kept.record_decision(decision(nonce=hashed("new"), request_id="new-door"))
    clock.pass_(hours=2)
    (done,) = kept.purge()
    assert (done.site, done.decisions, done.steps, done.nonces) == ("door", 1, 1, 1)
    assert kept.decision("old-door") is None
    assert kept.decision("new-door") is not None
    assert kept.decision("old-gate") is not None
    assert not kept.nonce_seen("door", hashed("old"))
    assert kept.nonce_seen("door", hashed("new"))
    assert (found := verify(kept.database)).removed == 2
    assert found.records == 3
    assert kept.purge() == ()
    (gate,) = kept.purge(clock.now.replace(month=5))[1:]
    assert (gate.site, gate.decisions) == ("gate", 1)
    verify(kept.database)


def test_a_time_that_lies_ahead_keeps_no_row_alive(kept: Store, clock: Clock) -> None:
    kept.record_decision(decision(time=clock.now.replace(year=2090)))
    clock.pass_(days=3)
    assert kept.purge()[0].decisions == 1


def test_a_row_that_a_purge_did_not_take_is_missed(kept: Store, clock: Clock) -> None:
    kept.record_decision(decision())
    clock.pass_(days=3)
    kept.record_decision(decision(request_id="later"))
    kept.purge()
    with kept.database.write() as connection:
        connection.execute(sa.text("DELETE FROM decisions"))
    with pytest.raises(LedgerError, match="its record is gone"):
        verify(kept.database)


def test_weights_that_nothing_serves_go_too(kept: Store, clock: Clock) -> None:
    kept.adopt_base("door", BASE)
    kept.submit(bad := state(), (), REJECT)
    kept.submit(good := state(), (), PROMOTE)
    clock.pass_(days=3)
    assert kept.purge()[0].deltas == 1
    assert kept.state(bad.id).size == 0
    with pytest.raises(StoreError, match="whose weights are kept"):
        kept.delta(bad.id)
    assert kept.delta(good.id) == good.delta


def test_a_subject_is_deleted_with_the_states_it_taught_named(kept: Store) -> None:
    kept.adopt_base("door", BASE)
    ann, bob = hashed("ann"), hashed("bob")
    kept.record_decisions([decision(subject=ann, request_id="a"), decision(subject=bob, request_id="b")])
    kept.record_decision(decision("gate", subject=ann, request_id="g"))
    (one,) = kept.record_steps("door", [step(bob)])
    kept.submit(first := state(steps=(one, one)), (), PROMOTE)
    two = kept.record_steps("door", [step(bob), step(ann), step(ann, accepted=False)])
    kept.submit(second := state(first.id, steps=(two[0], two[-1])), (), PROMOTE)
    (three,) = kept.record_steps("door", [step(bob)])
    kept.submit(third := state(second.id, steps=(three, three)), (), REJECT)
    generation = kept.site("door").generation
    done = kept.delete_subject("door", ann, by="privacy office")
    assert (done.decisions, done.steps) == (1, 2)
    assert done.states == (second.id, third.id)
    assert kept.decision("a") is None
    assert kept.decision("b") is not None
    assert kept.decision("g") is not None
    assert kept.site("door").generation == generation + 1
    assert kept.site("door").state == second.id
    assert ann not in str(kept.ledger(limit=1000))
    assert verify(kept.database).removed == 3
    with pytest.raises(NotAllowedError, match="fresh start"):
        kept.record_steps("door", [step(ann)], generation)
    assert kept.delete_subject("door", ann).states == ()


def test_a_deleted_subject_cannot_be_replayed(kept: Store) -> None:
    kept.record_decision(decision(subject=hashed("ann"), nonce=hashed("n")))
    kept.delete_subject("door", hashed("ann"))
    with pytest.raises(NonceSeenError):
        kept.record_decision(decision(subject=hashed("ann"), nonce=hashed("n")))


def test_what_was_deleted_is_not_in_the_file_any_more(sqlite: Store) -> None:
    ann = hashed("ann")
    sqlite.record_decision(decision(subject=ann))
    sqlite.delete_subject("door", ann)
    with sqlite.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert ann.encode() not in sqlite.database.file.read_bytes()


def test_a_backup_is_restored(sqlite: Store, tmp_path: Path) -> None:
    sqlite.set_policy("door", Policy.AUTO, "ann")
    sqlite.adopt_base("door", BASE)
    sqlite.submit(good := state(), (), PROMOTE)
    sqlite.record_decision(decision(request_id="before"))
    copy = sqlite.backup(tmp_path / "copy.db")
    assert copy.stat().st_mode & 0o777 == 0o600
    sqlite.record_decision(decision(request_id="after"))
    with pytest.raises(StoreError, match="new file"):
        sqlite.backup(copy)
    file = sqlite.database.file
    sqlite.close()
    for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
        file.with_name(name).unlink(missing_ok=True)
    shutil.copy(copy, file)
    restored = Store(f"sqlite:///{file}")
    restored.check()
    assert restored.site("door").state == good.id
    assert restored.delta(good.id) == good.delta
    assert restored.decision("before") is not None
    assert restored.decision("after") is None
    verify(restored.database)
    restored.record_decision(decision())
    verify(restored.database)
    restored.close()


def test_a_dump_of_postgresql_is_restored(binaries: Path, postgresql: str, tmp_path: Path) -> None:
    store = Store(postgresql)
    store.migrate()
    store.add_site("door")
    store.record_decision(decision(request_id="one"))
    with pytest.raises(StoreError, match="pg_dump"):
        store.backup(tmp_path / "x")
    plain = str(store.database.url.set(drivername="postgresql").render_as_string(hide_password=False))
    dump = subprocess.run([binaries / "pg_dump", "-Fc", "-d", plain], check=True, capture_output=True).stdout
    other = str(store.database.url.database) + "_restored"
    with sa.create_engine(store.database.url, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {other}"))
    target = plain.replace(str(store.database.url.database), other)
    subprocess.run([binaries / "pg_restore", "-d", target], input=dump, check=True, capture_output=True)
    restored = Store(target)
    restored.check()
    assert restored.decision("one") is not None
    assert verify(restored.database).head == store.ledger_head()[1]
    with pytest.raises(sa.exc.SQLAlchemyError, match="append-only"), restored.database.write() as connection:
        connection.execute(sa.text("DELETE FROM ledger"))
    restored.close()
    store.close()


def test_the_verbs(sqlite: Store, tmp_path: Path) -> None:
    url = str(sqlite.database.url)
    assert mfas("store", "migrate", "--database", url, "--json").json()["version"] == "0003"
    assert mfas("store", "purge", "--database", url, "--json").json() == {"purged": []}
    secret = load_secret(tmp_path / "mfas-service.secret", {})
    sqlite.record_decision(decision(subject=secret.pseudonym("door", "subject", "ann")))
    gone = mfas("store", "delete-subject", "--database", url, "--site", "door", "--subject", "ann", "--json").json()
    assert (gone["decisions"], gone["states"]) == (1, [])
    done = mfas("store", "backup", "--database", url, "--out", tmp_path / "b.db", "--json").json()
    with closing(sqlite3.connect(done["backup"])) as copy:
        assert copy.execute("SELECT count(*) FROM ledger").fetchone()[0] == sqlite.ledger_head()[0]
    assert "got one that is there" in refusal("store", "backup", "--database", url, "--out", tmp_path / "b.db")
    assert "found none" in refusal("store", "purge", "--database", f"sqlite:///{tmp_path}/other.db")
    added = mfas("keys", "add", "--database", url, "--name", "kiosk", "--scope", "score", "--site", "door", "--json")
    key = added.json()
    assert sqlite.find_key(key["key"]) is not None
    listed = mfas("keys", "list", "--database", url, "--json")
    assert listed.json()["keys"][0]["id"] == key["id"]
    assert key["key"] not in listed.out
    mfas("keys", "revoke", "--database", url, key["id"], "--json").json()
    assert sqlite.find_key(key["key"]) is None
    new = f"sqlite:///{tmp_path}/new.db"  # keys come first where others are to be let in
    first = mfas("keys", "add", "--database", new, "--name", "door", "--scope", "score", "--site", "default", "--json")
    assert first.json()["site"] == "default"
    assert "new.db is new" in first.err
    assert "scopes out of" in refusal("keys", "add", "--database", url, "--name", "x", "--scope", "all")
