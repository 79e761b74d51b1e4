"""Simulating: an accounts file and usage go in, everything the ledger would publish comes out; nothing is started."""
