"""Importers: usage that other tools have recorded goes in, usage events come out."""
