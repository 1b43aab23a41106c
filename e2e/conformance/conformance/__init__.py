"""The Gateway API's official conformance suite: built from its Go module, run against Portolan, its outcomes kept."""
