"""Attribution over modalities and pixels: what a verdict rests on. Functions of a model and a batch.

`mfas.explain.record` and `mfas.explain.shapley` need no torch, so that what keeps records can read them.
"""
