"""Where the parts meet: one plain function per verb, and the tables. Importing this package loads no torch."""
