"""The gate: what products, people and billing ask for over HTTP. See README.md."""
