"""Everything that knows Tumblr: which blog a text names, what its posts look like, how its API is called."""
