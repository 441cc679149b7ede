"""Every flag at its definition, in the groups that --help shows."""
