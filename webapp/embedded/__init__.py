"""PostgreSQL out of a Python wheel, and the launcher behind ``make up``: the whole site on one machine."""
