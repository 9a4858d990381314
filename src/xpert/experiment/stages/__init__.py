"""The stages of a search. Each takes the parts of the config that it needs and returns what it found."""
