"""For products: may this member go on? Asked of the gate over HTTP, or answered from a copy of credit-status."""
