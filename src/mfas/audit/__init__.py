"""Attacks on a model, and what they find: perturbations, searches, stealing. Functions of a model and batches."""
