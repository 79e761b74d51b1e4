"""The vocabulary: what goes over the wire and what the rules speak of; pydantic models, money, months, instants."""
