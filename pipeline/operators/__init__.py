"""What operators ask: rights, status, doctor."""
