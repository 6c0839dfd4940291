"""The page on which recordings are classified, of `hf-dialects serve` and of Spaces."""
