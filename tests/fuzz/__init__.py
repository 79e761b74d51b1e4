"""Records that nobody should send, made of real ones: whatever comes, each is accounted for, and nothing stops."""
