"""The HTTP half of the service: routes, the shape of answers and errors, and what every request passes through."""
