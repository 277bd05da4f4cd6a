"""The console: pages for people who operate sites, made on the server, in the same application as the interface."""
