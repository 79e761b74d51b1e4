"""The identity store on local disk (R14): a folder goes in, a store comes out. Why it is ours: decision 10."""

from pipeline.engine.disk_identities.store import DiskIdentities

__all__ = ["DiskIdentities"]
