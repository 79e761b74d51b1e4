"""The whole system on one machine: `usage-credits demo` (the main job, proved) and `usage-credits up` (it stays)."""
