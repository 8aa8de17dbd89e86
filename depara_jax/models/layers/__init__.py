"""Layers whose details decide whether a port agrees with its original."""
