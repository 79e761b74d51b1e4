"""What Prometheus asks of a process: figures of the ledger, of a proof, of the event loop; docs/operations.md."""
