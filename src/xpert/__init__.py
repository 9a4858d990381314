"""XPert: co-search of neural networks and the periphery of the in-memory-computing chips that run them."""

__version__ = "0.2.0"
