"""ClickHouse's HTTP interface over an in-process engine: HTTP requests in, the engine's answers out."""
