"""Attribution over modalities and pixels: what a verdict rests on. Functions of a model and a batch."""
