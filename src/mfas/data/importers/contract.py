"""What an importer is: it lists what a native folder holds, and reads one entry of that list at a time.

Listing opens lists and folders only; it is done first and whole, so that a wrong root, an unknown species or a list
that does not parse is told before an hour of decoding. Reading is what runs in parallel and is resumed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from mfas.config import Config
from mfas.core import MODALITIES, Label, Modality
from mfas.data.box import FULL
from mfas.data.images import METRIC
from mfas.data.importers._stored import BrokenError, check_file
from mfas.errors import InputError

__all__ = ["BrokenError", "Frame", "Importer", "Item", "Skip", "Where"]


@dataclass(frozen=True, slots=True)
class Where:
    """A place in the native folder: a file relative to its root, and a 1-based line (0 = the file itself)."""

    file: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Skip:
    """An entry that is not imported. ``kind``: line, folder, missing, damaged, shape, no_face, duplicate, subject."""

    where: Where
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a native set: a capture, or a recording that several captures are taken from.

    ``key`` is its native identity and ``presentation`` that of its presentation (empty = ``key``); both are hashed
    before they become ids, for native names often tell the label. ``species`` is the native name, empty for bona fide.
    ``split`` is ours. ``files`` hold the images of a capture; ``payload`` is the importer's own business.
    """

    where: Where
    key: str
    label: Label | None
    split: str
    species: str = ""
    presentation: str = ""
    subject: str = ""
    presenter: str = ""
    session: str = ""
    site: str = ""
    number: int = 0
    files: Mapping[Modality, Path] = field(default_factory=dict)
    payload: Any = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One capture: for each modality a file to point to, or an array to be written as PNG.

    RGB is uint8 ``[H, W, 3]``, depth and infrared are uint8 or uint16 ``[H, W]``.
    """

    images: Mapping[Modality, Path | NDArray[Any]]
    number: int = 0
    box: str = FULL


class Importer(ABC):
    """Reader of one data set.

    ``species`` maps native names to ours; ``modalities`` is what every capture of the set must have. ``Options`` are
    the set's own settings. The constructor gets a root that exists and options already parsed.
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    species: ClassVar[Mapping[str, str]] = {}
    modalities: ClassVar[tuple[Modality, ...]] = MODALITIES

    class Options(Config):
        """Settings of the set; none unless it says otherwise."""

    def __init__(self, root: Path, options: Any) -> None:
        self.root = root
        self.options = options
        self.seen: list[str] = []
        """Lists and folders that were read, for the summary."""

    @abstractmethod
    def scan(self) -> Iterator[Item | Skip]:
        """Everything the folder holds. Raises `InputError` when it is not the folder of this set."""

    def read(self, item: Item) -> Iterable[Frame]:
        """The captures of one item; by default its files, each decoded once. Raises `BrokenError`."""
        for modality in self.modalities:
            if modality not in item.files:
                raise BrokenError("missing", f"expected {modality} of {item.key}, the list has none")
        for modality, path in item.files.items():
            check_file(path, modality, self.depth_kind)
        yield Frame(item.files, item.number)

    @property
    def depth_kind(self) -> str:
        """How depth is stored: a value of the manifest's ``depth_kind``."""
        return str(getattr(self.options, "depth_kind", METRIC))

    @property
    def site(self) -> str:
        """Value of the manifest's ``site`` where an item does not say another."""
        return self.name

    def notes(self) -> list[str]:
        """Sentences for the summary, known after the scan."""
        return [f"read: {', '.join(self.seen)}"] if self.seen else []

    def relative(self, path: Path) -> str:
        """A path as `Where` tells it."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def expect(self, *names: str, folder: bool = False) -> Path:
        """The first of ``names`` that is there, below the root; `InputError` names all of them."""
        for name in names:
            path = self.root / name
            if path.is_dir() if folder else path.is_file():
                return path
        what = "a folder" if folder else "a file"
        raise InputError(f"{self.root}: expected {what} {' or '.join(names)} as {self.title} has it, found none")
