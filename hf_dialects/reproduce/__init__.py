"""Tables of papers as grids of runs: one command per table, resumable run by run."""
