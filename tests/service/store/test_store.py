"""Sites, keys, decisions, on both databases."""

from __future__ import annotations

import dataclasses
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from mfas.service.keys import Scope
from mfas.service.signing import Secret
from mfas.service.store import NonceSeenError, Policy, Store, StoreError, UnknownSiteError
from mfas.service.store.schema import metadata
from stored import decision, hashed


def test_migrations_make_the_tables_and_do_nothing_the_second_time(url: str) -> None:
    store = Store(url)
    with pytest.raises(StoreError, match="got an empty one"):
        store.check()
    store.migrate()
    store.add_site("door")
    store.migrate()
    store.check()
    assert [site.name for site in store.sites()] == ["door"]
    with store.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_database_of_a_newer_version_is_refused(store: Store) -> None:
    with store.database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="9999"):
        store.migrate()
    with pytest.raises(StoreError, match="got 9999"):
        store.check()


@pytest.mark.parametrize("name", ["", "Door", "-door", "../x", "a" * 65, "dоor", "a b"])
def test_bad_site_names_are_refused(sqlite: Store, name: str) -> None:
    with pytest.raises(StoreError, match="site name"):
        sqlite.add_site(name)


def test_sites_are_made_once_and_off(store: Store) -> None:
    site = store.site("door")
    assert (site.policy, site.state, site.frozen, site.retention_days) == (Policy.OFF, "source", False, 30)
    with pytest.raises(StoreError, match="which is there"):
        store.add_site("door")
    with pytest.raises(UnknownSiteError):
        store.site("window")
    assert store.set_policy("door", Policy.AUTO, "ann").policy is Policy.AUTO
    for days in (0, 1096):
        with pytest.raises(StoreError, match="retention"):
            store.set_retention("door", days, "ann")
    assert store.set_retention("door", 1095, "ann").retention_days == 1095


def test_a_decision_comes_back_as_it_went(store: Store) -> None:
    full = decision(subject=hashed("s"), device=hashed("d"), session=hashed("e"), nonce=hashed("n"), uncertainty=0.1)
    none = decision(outcome="no_face", reason="no face was found", decision=None, score=None, threshold=None)
    receipts = store.record_decisions([full, none])
    assert [receipt.seq for receipt in receipts] == [2, 3]
    assert store.decision(full.request_id) == full
    assert store.decision(none.request_id) == none
    assert store.decision("nothing") is None
    assert [found for _, found in store.decisions("door")] == [none, full]
    assert [found for _, found in store.decisions("door", before=3)] == [full]
    assert [found for _, found in store.decisions("door", subject=hashed("s"))] == [full]
    assert store.site("door").decisions == 2
    row = store.ledger(after=receipts[0].seq - 1, limit=1)[0]
    assert (row.kind, row.hash) == ("decision", receipts[0].hash)
    assert hashed("s") not in str(row)


def test_a_nonce_works_once_for_each_site(store: Store) -> None:
    store.add_site("gate")
    nonce = hashed("n")
    assert not store.nonce_seen("door", nonce)
    store.record_decision(decision(nonce=nonce))
    assert store.nonce_seen("door", nonce)
    store.record_decision(decision("gate", nonce=nonce))
    head = store.ledger_head()
    with pytest.raises(NonceSeenError):
        store.record_decision(decision(nonce=nonce))
    with pytest.raises(NonceSeenError):
        store.record_decisions([decision(nonce=hashed("m")), decision(nonce=hashed("m"))])
    assert store.ledger_head() == head
    assert store.site("door").decisions == 1


def test_a_refused_batch_leaves_nothing(store: Store) -> None:
    first = decision()
    store.record_decision(first)
    head = store.ledger_head()
    with pytest.raises(StoreError, match="never recorded"):
        store.record_decisions([decision(), dataclasses.replace(decision(), request_id=first.request_id)])
    with pytest.raises(UnknownSiteError):
        store.record_decisions([decision(), decision("window")])
    assert store.ledger_head() == head
    assert len(store.decisions("door")) == 1


def test_many_threads_write_one_chain(store: Store) -> None:
    nonces = [hashed(str(i)) for i in range(40)]
    outcomes: list[str] = []

    def work(own: list[str]) -> None:
        for nonce in own:
            try:
                store.record_decision(decision(nonce=nonce))
                outcomes.append("recorded")
            except NonceSeenError:
                outcomes.append("seen")

    threads = [threading.Thread(target=work, args=(nonces,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("recorded") == 40
    assert outcomes.count("seen") == 120
    assert store.ledger_head()[0] == 41


def test_keys_are_found_by_what_was_shown_once(store: Store) -> None:
    key, presented = store.add_key("kiosk", [Scope.SCORE], "door")
    assert store.find_key(presented) == key
    assert store.find_key(presented[:-1] + "?") is None
    assert store.find_key("") is None
    assert store.find_key("\ud800") is None
    assert len(presented) == 48
    other, _ = store.add_key("boss", [Scope.ADMIN])
    assert store.keys() == (key, other)
    revoked = store.revoke_key(key.id)
    assert revoked.revoked is not None
    assert store.find_key(presented) is None
    with pytest.raises(StoreError, match="valid key"):
        store.revoke_key(key.id)
    with pytest.raises(UnknownSiteError):
        store.add_key("x", [Scope.SCORE], "window")
    with pytest.raises(StoreError, match="scope"):
        store.add_key("x", [])


def test_what_a_key_may(sqlite: Store) -> None:
    key, _ = sqlite.add_key("kiosk", [Scope.SCORE, Scope.OPERATE], "door")
    admin, _ = sqlite.add_key("boss", [Scope.ADMIN])
    assert key.may(Scope.SCORE, "door")
    assert key.may(Scope.OPERATE, "door")
    assert not key.may(Scope.SCORE, "gate")
    assert not key.may(Scope.SCORE)
    assert not key.may(Scope.ADMIN, "door")
    assert admin.may(Scope.SCORE, "gate")
    assert admin.may(Scope.ADMIN)
    assert not sqlite.revoke_key(admin.id).may(Scope.SCORE, "gate")


def test_the_database_never_holds_a_key(sqlite: Store) -> None:
    _, presented = sqlite.add_key("kiosk", [Scope.SCORE])
    with sqlite.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert presented.encode() not in sqlite.database.file.read_bytes()


def test_a_database_knows_its_secret(store: Store) -> None:
    store.bind(Secret(b"a" * 32))
    store.bind(Secret(b"a" * 32))
    with pytest.raises(StoreError, match="another one"):
        store.bind(Secret(b"b" * 32))


def test_rows_of_other_kinds_are_noted_and_reserved_ones_refused(store: Store) -> None:
    assert store.note("login", None, {"who": "ann"}) == 2
    assert store.ledger(kinds=("login",))[0].payload == {"who": "ann"}
    for kind in ("decision", "purged", ""):
        with pytest.raises(StoreError, match="kind of row"):
            store.note(kind, None, {})


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://x/y", "nonsense"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(StoreError):
        Store(url)


def test_the_file_is_private_and_kept_safe(sqlite: Store, tmp_path: Path) -> None:
    assert sqlite.database.file.stat().st_mode & 0o777 == 0o600
    with sqlite.database.read() as connection:
        pragmas = [connection.exec_driver_sql(f"PRAGMA {p}").scalar() for p in ("journal_mode", "synchronous")]
        assert pragmas == ["wal", 2]
        with pytest.raises(sa.exc.IntegrityError), sqlite.database.write() as writing:
            writing.execute(sa.text("INSERT INTO nonces VALUES ('window', 'n', 't')"))
    with pytest.raises(StoreError, match="found none"):
        Store(f"sqlite:///{tmp_path}/other.db", create=False)
    assert sqlite3.sqlite_version_info >= (3, 35)


def test_the_store_needs_no_torch() -> None:
    parts = "store", "ledger", "keys", "signing", "leading", "learning_config", "quotas", "verbs", "freezing"
    loaded = "{'torch', 'safetensors'} & set(sys.modules)"
    code = f"import sys\nfor p in {parts}: __import__('mfas.service.' + p)\nassert not {loaded}"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
