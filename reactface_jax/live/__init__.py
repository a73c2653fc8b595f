"""A listener that answers while somebody talks: in the browser, and in avatars that listen on the network."""
