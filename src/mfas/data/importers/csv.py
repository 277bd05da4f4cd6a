"""Any table of captures with one's own column names: a CSV file beside its images."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import Field

from mfas.config import Config
from mfas.core import UNKNOWN_SPECIES, Label, Modality
from mfas.data.box import parse_box
from mfas.data.importers._lists import SPLIT_OF
from mfas.data.importers._stored import check_file
from mfas.data.importers.contract import Frame, Importer, Item, Skip, Where
from mfas.data.importers.registry import register
from mfas.data.manifest import COLUMNS
from mfas.data.species import SPECIES
from mfas.errors import InputError

_READ = ("rgb", "depth", "ir", "label", "species", "split", "subject", "presenter", "session", "site", "box", "frame")


@register("csv")
class Csv(Importer):
    """Columns as in a manifest, or others by ``columns`` (ours: theirs); values of ``label`` by ``labels``.

    ROOT is the CSV file; image paths are relative to its folder. ``split`` must stand in every row.
    """

    title = "a CSV table"
    species: ClassVar[Mapping[str, str]] = {**dict(zip(SPECIES, SPECIES, strict=True)), "unnamed": UNKNOWN_SPECIES}
    modalities: ClassVar[tuple[Modality, ...]] = ()

    class Options(Config):
        """``labels``: cell to bona_fide or attack."""

        columns: dict[str, str] = Field(default_factory=dict)
        labels: dict[str, Label] = Field(default_factory=lambda: {label.value: label for label in Label})
        depth_kind: Literal["metric", "relative_near_bright", "relative_far_bright"] = "metric"

    def scan(self) -> Iterator[Item | Skip]:
        """One item per row."""
        if not self.root.is_file():
            raise InputError(f"expected a CSV file, got {self.root}")
        for ours in self.options.columns:
            if ours not in COLUMNS:
                raise InputError(f"options.columns: expected columns of a manifest, got '{ours}'")
        self.seen.append(self.root.name)
        with self.root.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            header = reader.fieldnames or ()
            for ours in ("label", "split"):
                if self.options.columns.get(ours, ours) not in header:
                    there = ", ".join(header) or "none"
                    raise InputError(f"{self.root}: expected a column '{ours}' (see options.columns), got {there}")
            for row in reader:
                where = Where(self.root.name, reader.line_num)
                if None in row or None in row.values():
                    yield Skip(where, "line", f"expected {len(header)} cells, got another number")
                    continue
                cells = {name: row.get(self.options.columns.get(name, name), "").strip() for name in _READ}
                presentation = row.get(self.options.columns.get("presentation_id", "presentation_id"), "").strip()
                yield self._item(where, cells, presentation)

    def read(self, item: Item) -> Iterable[Frame]:
        """Each image, decoded once."""
        for modality, path in item.files.items():
            check_file(path, modality, self.depth_kind)
        yield Frame(item.files, item.number, item.payload)

    def _item(self, where: Where, cells: Mapping[str, str], presentation: str) -> Item | Skip:
        label = self.options.labels.get(cells["label"])
        split = SPLIT_OF.get(cells["split"].lower())
        paths = {m: cells[m.value] for m in Modality if cells[m.value]}
        if label is None:
            return Skip(
                where, "line", f"expected a label out of {', '.join(self.options.labels)}, got '{cells['label']}'"
            )
        if split is None:
            return Skip(where, "line", f"expected a split out of {', '.join(SPLIT_OF)}, got '{cells['split']}'")
        if not paths:
            return Skip(where, "line", "expected an image in rgb, depth or ir, got none")
        try:
            parse_box(cells["box"])
            frame = int(cells["frame"] or 0)
        except (InputError, ValueError) as reason:
            return Skip(where, "line", str(reason))
        return Item(
            where,
            "|".join(paths.values()),
            label,
            split,
            (cells["species"] or "unnamed") if label is Label.ATTACK else "",
            presentation=presentation,
            subject=cells["subject"],
            presenter=cells["presenter"],
            session=cells["session"],
            site=cells["site"],
            number=frame,
            files={m: self.root.parent / cell for m, cell in paths.items()},
            payload=cells["box"],
        )
