"""The ELF file inside a Linux kernel's bzImage."""

import gzip
import lzma
import struct


def vmlinux(image):
    """Unpacks it (Linux, Documentation/arch/x86/boot.rst, payload_offset); Debian's are packed with XZ, older ones with gzip."""
    if image[0x202:0x206] != b"HdrS":
        raise ValueError("it is no bzImage")
    start = (image[0x1F1] + 1) * 512
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[start + offset:start + offset + length]
    return (lzma.LZMADecompressor() if payload[:6] == b"\xfd7zXZ\0" else gzip).decompress(payload)
