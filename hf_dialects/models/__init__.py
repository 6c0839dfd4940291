"""Model files. They travel with every checkpoint, so they import only torch, transformers, the standard library and
each other."""
