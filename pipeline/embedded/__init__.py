"""Kafka and ClickHouse on a laptop: a data directory in, addresses as of real servers out."""
