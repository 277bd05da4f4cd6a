"""The systems: one file each, pure ``nn.Module``, found through the registry. Importing this package loads no torch."""
