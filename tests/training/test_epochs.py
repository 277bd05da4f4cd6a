"""How many captures an epoch shows, and which."""

from __future__ import annotations

from pathlib import Path

from mfas.benchmark.sources import read_sources
from mfas.benchmark.training_run import TrainConfig, TrainingEpochs, load_split
from mfas.card import Preprocess
from mfas.training.ranks import Ranks


def test_a_short_epoch_shows_so_many_captures_and_the_next_one_others(lesson: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        manifest=(lesson,), out=tmp_path, preprocess=Preprocess(size=32), batch_size=4, epoch_captures=11
    )
    data = load_split(read_sources(config.manifest, require_labels=True), "train", config.preprocess)
    assert len(data) >= 16
    epochs = TrainingEpochs(data, config, Ranks())
    assert epochs.steps == 2
    first, second = ([i for one in epochs(number) for i in one.batch.ids.capture_id] for number in (0, 1))
    assert len(first) == len(second) == 8
    assert first != second
