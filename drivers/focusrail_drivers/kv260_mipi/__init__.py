"""The MIPI camera of a KV260 (Digilent Pcam 5C), through the overlay that also computes the focus measure.

`camera.Kv260MipiCamera` is the driver. It asks the service that owns the FPGA, where `stream.MipiStream` takes frames
out of the overlay's camera path.
"""
