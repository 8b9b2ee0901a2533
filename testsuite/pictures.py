"""Pictures as rows of RGB bytes: reads what the program and an X server write, to compare them pixel by pixel."""
import struct
import zlib


class Picture:
    def __init__(self, width, height, rows):
        self.width, self.height, self.rows = width, height, rows

    def part(self, x, y, width, height):
        return Picture(width, height, [row[x * 3:(x + width) * 3] for row in self.rows[y:y + height]])

    def differences(self, other):
        """How many pixels differ; all of them if the sizes do."""
        if (self.width, self.height) != (other.width, other.height):
            return max(self.width * self.height, other.width * other.height)
        return sum(a[n:n + 3] != b[n:n + 3] for a, b in zip(self.rows, other.rows) if a != b
                   for n in range(0, self.width * 3, 3))

    def lit(self):
        """How many pixels are not black."""
        return sum(any(row[n:n + 3]) for row in self.rows if any(row) for n in range(0, self.width * 3, 3))

    def last_line(self, cell_width, cell_height):
        """Columns with something in them in the lowest line of text that has any."""
        for y in range(self.height // cell_height - 1, -1, -1):
            rows = self.rows[y * cell_height:(y + 1) * cell_height]
            columns = [x for x in range(self.width // cell_width)
                       if any(any(row[x * cell_width * 3:(x + 1) * cell_width * 3]) for row in rows)]
            if columns:
                return columns
        return []


def read_png(data):
    """A PNG of 8 bits a component, RGB (PNG specification, third edition, §9 on filters); None while it is incomplete."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[-8:-4] != b"IEND":
        return None
    at, packed, size = 8, b"", (0, 0)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8:at + 8 + length]
        if zlib.crc32(kind + body) != struct.unpack_from(">I", data, at + 8 + length)[0]:
            raise AssertionError(f"the chunk {kind} of a screenshot has a wrong checksum")
        if kind == b"IHDR":
            size = struct.unpack_from(">II", body)
            if body[8:] != bytes([8, 2, 0, 0, 0]):
                raise AssertionError(f"the screenshot's format is {body[8:]}")
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    width, height = size
    raw, rows, above = zlib.decompress(packed), [], bytes(width * 3)
    for y in range(height):
        kind, *row = raw[y * (width * 3 + 1):(y + 1) * (width * 3 + 1)]
        if kind not in (0, 2):  # None and Up, which is all that the program writes.
            raise AssertionError(f"the screenshot uses filter {kind}")
        above = bytes((a + b) & 0xFF for a, b in zip(row, above)) if kind == 2 else bytes(row)
        rows.append(above)
    return Picture(width, height, rows)


def read_xwd(data):
    """An X window dump (XWDFile.h) of 32 bits a pixel, as Xvfb -fbdir keeps one of its screen."""
    header = struct.unpack_from(">25I", data)
    size, width, height, lsb_first = header[0], header[4], header[5], header[7] == 0
    bits, stride, colours = header[11], header[12], header[19]
    if bits != 32 or header[14:17] != (0xFF0000, 0xFF00, 0xFF):
        raise AssertionError(f"the X server's screen has {bits} bits a pixel and masks {header[14:17]}")
    start, rows = size + colours * 12, []
    for y in range(height):
        line = data[start + y * stride:start + y * stride + width * 4]
        row = bytearray(width * 3)
        for component in range(3):
            row[component::3] = line[2 - component if lsb_first else 1 + component::4]
        rows.append(bytes(row))
    return Picture(width, height, rows)
