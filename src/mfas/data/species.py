"""Known presentation attack instruments (PAI species) and what each is."""

from __future__ import annotations

from mfas.core import UNKNOWN_SPECIES

SPECIES: dict[str, str] = {
    "print_flat": "a printed photograph held flat",
    "print_curved": "a printed photograph bent around a cylinder",
    "print_cut": "a printed photograph with holes at eyes, nose or mouth",
    "replay_lcd": "a liquid-crystal screen",
    "replay_oled": "an OLED screen",
    "mask_paper": "a folded paper mask",
    "mask_rigid": "a resin or plastic mask",
    "mask_silicone": "a flexible silicone or latex mask",
    "fake_head": "a mannequin or model head",
    "glasses": "a live face behind printed or funny-eye glasses",
    "partial_paper": "a live face partly covered by a print",
    "makeup": "a live face made up to look like another person",
    UNKNOWN_SPECIES: "an attack whose instrument is not known",
}
"""Name of each species a manifest may hold, and its description. Bona fide captures have an empty species."""
