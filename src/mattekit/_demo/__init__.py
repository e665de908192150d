"""The demo: what the small weights make of photos that nobody trained on; and a network fitted to one photo."""
