"""A crash after every message: the service killed or frozen at each boundary of a record's way, and what became of the record."""
