"""What computes the focus measure: the processor, and later an FPGA."""
