"""The ledger once more from its inputs, along its journal: compared with what lies in Kafka, or written anew (R44)."""
