"""Models for devices without torch: ONNX files, and the predictor that runs them.

Nothing is imported here, so that `mfas.export.predictor` costs no torch.
"""
