"""The words of the service, pure: what can happen to a customer's money, and the shapes in which it is told."""
