"""The benchmark of Portolan against its peers: everything measured in one run, interleaved, on the same two cores."""
