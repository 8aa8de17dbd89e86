"""Measured transfer between all tasks of the mini-Taskonomy, and every estimator scored on it."""

import os

# Thousands of small systems are solved here: on a busy machine OpenBLAS's threads spend most of the
# time waiting for each other. It reads this when numpy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
