"""Durable jobs: started once, shown while they work, stopped by a button, resumed after a crash."""
