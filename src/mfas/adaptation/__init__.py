"""Learning on an unlabelled stream: the `Adapter` contract, one file per method. Importing this loads no torch."""
