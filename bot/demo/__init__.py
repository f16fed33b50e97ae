"""Stand-ins for Tumblr and the model service on loopback, and what the demo shows with them."""
