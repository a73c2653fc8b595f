"""What this machine has, what is missing for which command, and the line that installs it."""
