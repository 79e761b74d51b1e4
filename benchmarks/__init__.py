"""Benchmarks: one job, done in turn by ours and by the bare minimum on one Kafka; an oracle checks each result."""
