"""Models by name: architectures, and zoos of networks with their weights."""
