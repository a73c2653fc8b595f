"""The command line: `reactface` and its commands, on top of everything else."""
