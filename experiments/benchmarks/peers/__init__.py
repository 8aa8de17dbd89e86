"""Straightforward versions of published procedures, to measure against."""
