"""HTTP/3 on aioquic's QUIC with frames of our own making, so that wrong ones can be sent too."""
