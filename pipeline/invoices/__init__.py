"""Invoices and statements as people read them: out of ClickHouse, onto the screen, into files, down to the usage."""
