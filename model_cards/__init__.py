"""Model cards: one Markdown file per recipe that was really run; numbers come from its results.json only."""
