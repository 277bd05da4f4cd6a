"""What can stand before the sensors: a live person, and every attack species by name."""

from __future__ import annotations

from mfas.simulation.species.fake_head import FakeHead
from mfas.simulation.species.glasses import Glasses
from mfas.simulation.species.live import Live
from mfas.simulation.species.mask_paper import MaskPaper
from mfas.simulation.species.mask_rigid import MaskRigid
from mfas.simulation.species.mask_silicone import MaskSilicone
from mfas.simulation.species.partial_paper import PartialPaper
from mfas.simulation.species.print_curved import PrintCurved
from mfas.simulation.species.print_cut import PrintCut
from mfas.simulation.species.print_flat import PrintFlat
from mfas.simulation.species.replay import ReplayLcd, ReplayOled
from mfas.simulation.stage import Species

LIVE: Species = Live()
ATTACKS: dict[str, Species] = {
    species.name: species
    for species in (PrintFlat(), PrintCurved(), PrintCut(), ReplayLcd(), ReplayOled(), MaskPaper(), MaskRigid(),
                    MaskSilicone(), FakeHead(), Glasses(), PartialPaper())
}  # fmt: skip
"""Attack species the simulator can stage, by manifest name."""


def species_names() -> tuple[str, ...]:
    """Names of the attack species, sorted."""
    return tuple(sorted(ATTACKS))
