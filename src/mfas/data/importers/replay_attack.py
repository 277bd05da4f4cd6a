"""Replay-Attack: videos of prints and screens, RGB only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import ClassVar

from mfas.core import Label
from mfas.data.importers._lists import SPLIT_OF
from mfas.data.importers._videos import VIDEOS, VideoImporter
from mfas.data.importers.contract import Item, Skip, Where
from mfas.data.importers.registry import register

_REAL = re.compile(r"client(\d+)_session(\d+)_webcam_authenticate_(?:adverse|controlled)_\d+")
_ATTACK = re.compile(r"attack_(\w+)_client(\d+)_session(\d+)_\w+_(photo|video)_(?:adverse|controlled)")
_FOLDERS = ("real", "attack/fixed", "attack/hand")


@register("replay_attack")
class ReplayAttack(VideoImporter):
    """``train``, ``devel``, ``test``, each with ``real`` and ``attack/{fixed,hand}``; ``enroll`` is not read."""

    title = "Replay-Attack"
    species: ClassVar[Mapping[str, str]] = {
        "print_photo": "print_flat",
        "mobile_photo": "replay_lcd",
        "mobile_video": "replay_lcd",
        "highdef_photo": "replay_lcd",
        "highdef_video": "replay_lcd",
    }

    def scan(self) -> Iterator[Item | Skip]:
        """One item per video."""
        for part in ("train", "devel", "test"):
            self.seen.append(self.relative(self.expect(part, folder=True)))
            for folder in _FOLDERS:
                where = self.expect(f"{part}/{folder}", folder=True)
                for path in sorted(p for p in where.iterdir() if p.suffix.lower() in VIDEOS):
                    key = self.relative(path)
                    real, attack = _REAL.fullmatch(path.stem), _ATTACK.fullmatch(path.stem)
                    found = real if folder == "real" else attack
                    if found is None:
                        yield Skip(Where(key), "folder", f"expected a name as in {part}/{folder}, got '{path.name}'")
                        continue
                    live = folder == "real"
                    yield Item(
                        Where(key),
                        key,
                        Label.BONA_FIDE if live else Label.ATTACK,
                        SPLIT_OF[part],
                        "" if live else f"{found[1]}_{found[4]}",
                        subject=found[1] if live else found[2],
                        session=found[2] if live else found[3],
                        payload=path,
                    )
