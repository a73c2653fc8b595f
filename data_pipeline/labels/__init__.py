"""Which listeners are appropriate reactions to which speakers."""
