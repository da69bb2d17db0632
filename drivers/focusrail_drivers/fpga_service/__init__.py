"""The helper service that owns the FPGA as root, so that nothing else needs to be root, and how to reach it.

`service.serve` is the service, `client.Connection` a client's end. A client is trusted with nothing: it names sizes
and a shift, never a file or an address, and what it shares is looked at before it is used.
"""
