"""A store on each kind of database; PostgreSQL is a real one, started for the session in a folder of its own."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

import sqlalchemy as sa

from mfas.service.store import Store

_NAMES = itertools.count()


@pytest.fixture(scope="session")
def binaries() -> Path:
    """Folder of the newest PostgreSQL that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[4]))
    if not found:
        pytest.skip("no PostgreSQL binaries below /usr/lib/postgresql")
    return found[-1].parent


@pytest.fixture(scope="session")
def server(binaries: Path) -> Iterator[str]:
    """URL of a PostgreSQL server's folder of sockets, with ``{}`` for the name of a database."""
    where = binaries
    folder = Path(tempfile.mkdtemp(prefix="mfas-pg-", dir="/tmp"))
    # The server refuses to run as root.
    drop = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    if drop:
        shutil.chown(folder, "postgres", "postgres")
    init = [*drop, str(where / "initdb"), "-D", f"{folder}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"]
    subprocess.run(init, check=True, capture_output=True, cwd="/")
    options = ["-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=60"]
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        running = subprocess.Popen(
            [*drop, str(where / "postgres"), "-D", f"{folder}/data", *options], stdout=log, stderr=log, cwd="/"
        )
    try:
        url = f"postgresql://postgres@/{{}}?host={folder}"
        _wait(url.format("postgres"))
        yield url
    finally:
        running.send_signal(signal.SIGQUIT)  # at once, whoever is connected
        running.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
        (folder.parent / f"{folder.name}.log").unlink()


def _wait(url: str) -> None:
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    for _ in range(200):
        try:
            engine.connect().close()
        except sa.exc.OperationalError:
            time.sleep(0.05)
        else:
            engine.dispose()
            return
    raise TimeoutError("PostgreSQL did not start")


@pytest.fixture
def postgresql(server: str) -> str:
    """URL of an empty PostgreSQL database."""
    name = f"mfas_{os.getpid()}_{next(_NAMES)}"
    engine = sa.create_engine(
        sa.make_url(server.format("postgres")).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.format(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    found: str = request.getfixturevalue("postgresql")
    return found


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A migrated store with one site, ``door``."""
    made = Store(url)
    made.migrate()
    made.add_site("door")
    yield made
    made.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Store]:
    """The same on SQLite only."""
    made = Store(f"sqlite:///{tmp_path}/store.db")
    made.migrate()
    made.add_site("door")
    yield made
    made.close()
