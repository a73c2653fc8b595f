"""What a method is worth: rows, report, page, ablations."""
