"""One self-contained page per run, or for several side by side, to look at and listen to."""
