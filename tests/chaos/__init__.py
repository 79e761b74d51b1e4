"""Faults by chance on everything at once; what comes out is what nobody disturbed would have said."""
