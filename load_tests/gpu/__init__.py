"""Everything that a lent GPU machine is asked, in one command: see README.md."""
