"""Manifests, images, face crops, preprocessing, batches and score tables."""
