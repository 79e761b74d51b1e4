"""Dead letters in an operator's hands: listed, redriven, discarded; and the alarm when too many come."""
