"""R41 on live data: what Kafka, ClickHouse and the ledger's memory say is added up anew and compared."""
