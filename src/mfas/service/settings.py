"""Configuration of `mfas serve`: where it listens, what it runs, and every limit."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from pydantic import Field

from mfas.config import Config
from mfas.service.decoding import MAX_PIXELS
from mfas.service.learning_config import LearningConfig
from mfas.service.verdicts import Bounds

MIB = 1024 * 1024


class Limits(Config):
    """What one request, one key and the whole process may take.

    Sizes in MiB. ``rate_per_second`` and ``burst`` count requests of one key. ``concurrent_requests`` and
    ``memory_mib`` (bodies held at one time) bound the process, ``queue`` the captures that wait for a worker.
    ``deadline_seconds`` counts from the moment a capture is queued, ``upload_seconds`` from the request's first byte.
    """

    image_mib: float = Field(8.0, gt=0, le=64)
    request_mib: float = Field(24.0, gt=0, le=256)
    json_kib: float = Field(64.0, gt=0, le=1024)
    pixels: int = Field(MAX_PIXELS, ge=1024, le=40_000_000)
    batch: int = Field(32, ge=1, le=256)
    rate_per_second: float = Field(10.0, gt=0)
    burst: int = Field(20, ge=1)
    concurrent_requests: int = Field(256, ge=1)
    memory_mib: float = Field(256.0, gt=0)
    queue: int = Field(256, ge=1)
    deadline_seconds: float = Field(10.0, gt=0)
    upload_seconds: float = Field(20.0, gt=0)

    @property
    def image_bytes(self) -> int:
        """Bytes of one image."""
        return int(self.image_mib * MIB)

    @property
    def request_bytes(self) -> int:
        """Bytes of one multipart body."""
        return int(self.request_mib * MIB)

    @property
    def json_bytes(self) -> int:
        """Bytes of one JSON body."""
        return int(self.json_kib * 1024)


class Probing(Config):
    """When queries look like someone feeling for the boundary (`mfas.service.probing`).

    Within ``seconds`` one key sends ``repeats`` captures whose perceptual hashes differ by at most ``distance`` bits of
    512 from the latest one's, or gets ``repeats`` scores within ``hair`` of the latest one, all of them at least
    ``clear`` away from 0 and 1.
    """

    enabled: bool = True
    seconds: float = Field(600.0, gt=0)
    memory: int = Field(1024, ge=1)
    repeats: int = Field(120, ge=2)
    distance: int = Field(40, ge=0, le=512)
    hair: float = Field(0.002, gt=0, lt=1)
    clear: float = Field(0.05, ge=0, lt=0.5)


class ServeConfig(Config):
    """Configuration of `mfas serve`.

    ``model`` None = the default weights of the package. ``database`` is
    ``sqlite:///FILE`` or ``postgresql://USER@HOST/NAME``; ``secret_file`` None = beside
    the SQLite file. ``workers`` 0 = one per
    processor; ``threads`` are those onnxruntime uses within one prediction. ``tell_scores`` off withholds every score,
    per modality and fused, and the uncertainty: an answer is then a decision and nothing to climb by. ``open_metrics``
    shows `/metrics` to callers without a key. ``smallest_face`` is the shortest side of a face box, in pixels, that is
    judged. ``learning`` and ``bounds`` say how sites learn whose policy is not ``off``, and how far a candidate may go.
    Rows past their site's retention are removed every ``purge_hours`` (0 = by `mfas store purge` alone).
    """

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    database: str = "sqlite:///mfas-service.db"
    secret_file: Path | None = None
    model: Path | None = None
    yunet: Path | None = None
    workers: int = Field(0, ge=0, le=256)
    threads: int = Field(1, ge=0, le=256)
    tell_scores: bool = True
    open_metrics: bool = False
    smallest_face: int = Field(32, ge=1)
    limits: Limits = Limits()
    probing: Probing = Probing()
    learning: LearningConfig = LearningConfig()
    bounds: Bounds = Bounds()
    purge_hours: float = Field(1.0, ge=0)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the host it binds to."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
