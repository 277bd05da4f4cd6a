"""The service: decisions over HTTP, learning per site under an operator's eye, and the console.

Nothing is imported here, so that a client or a store costs no network and no torch.
"""
