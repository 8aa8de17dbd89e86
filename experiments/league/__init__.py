"""Measured transfer between all tasks of the mini-Taskonomy, and every estimator scored on it."""
