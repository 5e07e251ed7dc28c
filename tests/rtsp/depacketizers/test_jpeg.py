"""JPEG from packets: those of ffmpeg and GStreamer, every kind of table, restart intervals, sizes, loss, nonsense."""

from base64 import b64decode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.jpeg import EOI, parseJPEG
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import MAX_FRAME
from realtime_tw.rtsp.depacketizers.jpeg import JPEGDepacketizer, scaledTables
from tests.rtsp.videopacketizers import (
    STEP,
    JPEGParts,
    Packet,
    captured,
    damaged,
    deliver,
    flood,
    jpegPackets,
    jpegParts,
    losses,
    noise,
)

#: ffmpeg -f lavfi -i testsrc2=size=32x32 -c:v mjpeg -huffman default -pix_fmt yuvj420p -q:v 16: all components use one
#: quantization table.
FILE = b64decode(
    "/9j/4AAQSkZJRgABAgAAAQABAAD//gAQTGF2YzU5LjM3LjEwMAD/2wBDAAggICYgJiwsLCwsLDQwNDY2NjQ0NDQ2NjY6OjpEREQ6Ojo2Njo6QE"
    "BEREpMSkZGREZMTFBQUGBgXFxwcHSKiqb/xAGiAAABBQEBAQEBAQAAAAAAAAAAAQIDBAUGBwgJCgsBAAMBAQEBAQEBAQEAAAAAAAABAgMEBQYH"
    "CAkKCxAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRk"
    "dISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi"
    "4+Tl5ufo6erx8vP09fb3+Pn6EQACAQIEBAMEBwUEBAABAncAAQIDEQQFITEGEkFRB2FxEyIygQgUQpGhscEJIzNS8BVictEKFiQ04SXxFxgZGi"
    "YnKCkqNTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqCg4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TF"
    "xsfIycrS09TV1tfY2dri4+Tl5ufo6ery8/T19vf4+fr/wAARCAAgACADASIAAhEAAxEA/9oADAMBAAIRAxEAPwDy472chewz24GOpJrsEnuVJA"
    "btnomMeucYxWShH71epOwhf7wXkgfh+NdACPL2Y+b72zPON2cZ9cfjXjYis6z96N1fRPW17Pr0+R7s6S9pq/h5rP52stOvr8jzT54mGeDjI6Hg"
    "jqD0NdNFNNkhW9zwvb6iq7nHkKMIwLHBP3NzZXJ+nrz61diOfOBw5JBwP4sNk4r6KVebjdt/e/5rX9Ou5xuCcJQb91626N2Tt6302Ocf/WH/AD"
    "2qytVn/wBYf89qsrXz/ReiJxH8d+r/ADZzg61rrWQOta619bI4H/Df9dj/2Q=="
)

#: The same file: ffmpeg -i FILE -c copy -f rtp rtp://127.0.0.1:9000?pkt_size=200
FFMPEG = captured("""
0 0
AAAAAAH/BAQAAABACCAgJiAmLCwsLCwsNDA0NjY2NDQ0NDY2Njo6OkRERDo6OjY2OjpAQERESkxKRkZERkxMUFBQYGBcXHBwdIqKpvLjvZyF7DPb
gY6kmuwSe5UkBu2eiYx65xjFZKEfvV6k7CF/vBeSB+H410AI8vZj5vvbM843Zxn1x+NeNiKzrP3o3V9E9bXs+vT5HuzpL2mr+Hms/nay06+vyPNP
niYZ4OMjoeCOoPQ100U02SFb3PA=
0 1
AAAAcAH/BAS9vqKruceQowjAscE/c3Nlcn6evPrV2I584HDkkHA/iw2TivopV5uN2397/mtf067nG4JwlBv3Xrbo3ZO3rfTY5x/9Yf8AParK1Wf/
AFh/z2qytfP9F6InEfx36v8ANnODrWutZA61rrX1sjgf8N/12A==
""")

#: videotestsrc pattern=ball ! video/x-raw,format=I420,width=32,height=32 ! jpegenc quality=50 ! rtpjpegpay mtu=200
GSTREAMER = captured("""
0 0
AAAAAAH/BAQAAACAEAsMDgwKEA4NDhIREBMYKBoYFhYYMSMlHSg6Mz08OTM4N0BIXE5ARFdFNzhQbVFXX2JnaGc+TXF5cGR4XGVnYxESEhgVGC8a
Gi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2PS8L+GodOt0uLlFe6cZ5GdntXSUUUAFYviDw/b
6vbsQqpcqPkkA6+xraooAKKxfDk=
0 1
AAAAMAH/BASuw6vaKCwW5QYdCevuK2qACiis/WdXt9ItGmmYb8fIndjQB//Z
""")

#: What its jpegenc gave to rtpjpegpay.
GSTREAMER_FILE = b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hnPk1xeX"
    "BkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2P/wAARCAAg"
    "ACADASIAAhEBAxEB/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhBy"
    "JxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKT"
    "lJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEBAQEBAQAAAA"
    "AAAAECAwQFBgcICQoL/8QAtREAAgECBAQDBAcFBAQAAQJ3AAECAxEEBSExBhJBUQdhcRMiMoEIFEKRobHBCSMzUvAVYnLRChYkNOEl8RcYGRom"
    "JygpKjU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6goOEhYaHiImKkpOUlZaXmJmaoqOkpaanqKmqsrO0tba3uLm6wsPExc"
    "bHyMnK0tPU1dbX2Nna4uPk5ebn6Onq8vP09fb3+Pn6/9oADAMBAAIRAxEAPwDS8L+GodOt0uLlFe6cZ5GdntXSUUUAFYviDw/b6vbsQqpcqPkk"
    "A6+xraooAKKxfDmuw6vaKCwW5QYdCevuK2qACiis/WdXt9ItGmmYb8fIndjQB//Z"
)

#: The same of format=Y42B.
GSTREAMER_422 = captured("""
0 0
AAAAAAD/BAQAAACAEAsMDgwKEA4NDhIREBMYKBoYFhYYMSMlHSg6Mz08OTM4N0BIXE5ARFdFNzhQbVFXX2JnaGc+TXF5cGR4XGVnYxESEhgVGC8a
Gi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2PS8L+GodOt0uLlFe6cZ5GdntXSUAFYviDw/b6v
bsQqpcqPkkA6+xoA2qKACigAooA=
0 1
AAAAMAD/BAQKKAMXw5rsOr2igsFuUGHQnr7itqgArP1nV7fSLRppmG/HyJ3Y0Af/2Q==
""")
GSTREAMER_FILE_422 = b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19iZ2hnPk1xeX"
    "BkeFxlZ2P/2wBDARESEhgVGC8aGi9jQjhCY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2P/wAARCAAg"
    "ACADASEAAhEBAxEB/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhBy"
    "JxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKT"
    "lJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEBAQEBAQAAAA"
    "AAAAECAwQFBgcICQoL/8QAtREAAgECBAQDBAcFBAQAAQJ3AAECAxEEBSExBhJBUQdhcRMiMoEIFEKRobHBCSMzUvAVYnLRChYkNOEl8RcYGRom"
    "JygpKjU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6goOEhYaHiImKkpOUlZaXmJmaoqOkpaanqKmqsrO0tba3uLm6wsPExc"
    "bHyMnK0tPU1dbX2Nna4uPk5ebn6Onq8vP09fb3+Pn6/9oADAMBAAIRAxEAPwDS8L+GodOt0uLlFe6cZ5GdntXSUAFYviDw/b6vbsQqpcqPkkA6"
    "+xoA2qKACigAooAKKAMXw5rsOr2igsFuUGHQnr7itqgArP1nV7fSLRppmG/HyJ3Y0Af/2Q=="
)

#: What libjpeg makes of quality 85.
TABLES_85 = bytes.fromhex(
    "0503040404030504040405050506070c08070707070f0b0b090c110f1212110f"
    "111113161c1713141a1511111821181a1d1d1f1f1f13172224221e241c1e1f1e"
    "0505050706070e08080e1e1411141e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e"
    "1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e"
)

#: A main header: 4:2:0, Q 50, 32x32; the offset is put in front.
MAIN = bytes.fromhex("01 32 04 04")
BEGIN = bytes(4) + MAIN


def parts(unit: AccessUnit) -> JPEGParts:
    """:raises ProtocolError: when it is no whole file."""
    assert parseJPEG(unit.data).size == len(unit.data)
    return jpegParts(unit.data)


def picture(tables: list[bytes], scan: bytes) -> bytes:
    """The file that these become with 4:2:0 and 32x32."""
    sent = b"".join(tables)
    precision = sum((len(table) == 128) << number for number, table in enumerate(tables))
    head = bytes([0, 0, 0, 0, 1, 255, 4, 4, 0, precision]) + len(sent).to_bytes(2, "big")
    [unit] = JPEGDepacketizer().receive(head + sent + scan, 0, True, False)
    return unit.data


class JPEGDepacketizerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.receiver = JPEGDepacketizer()

    def test_ffmpeg(self) -> None:
        [unit] = deliver(self.receiver, FFMPEG)
        self.assertEqual((unit.time, unit.keyframe), (0, True))
        # Its payloads lack the EOI marker, and there is only one table.
        self.assertEqual(parts(unit), jpegParts(FILE))
        self.assertEqual(parts(unit).selectors, (0, 0, 0))
        self.assertEqual((self.receiver.width, self.receiver.height), (32, 32))
        self.assertEqual((self.receiver.discarded, self.receiver.config), (0, b""))

    def test_gstreamer(self) -> None:
        for packets, file in ((GSTREAMER, GSTREAMER_FILE), (GSTREAMER_422, GSTREAMER_FILE_422)):
            [unit] = deliver(self.receiver, packets)
            self.assertEqual(parts(unit), jpegParts(file))
            self.assertEqual(parts(unit).selectors, (0, 1, 1))

    def test_theWholeHeader(self) -> None:
        # GStreamer's file, which is baseline JFIF, but for the grouping of the Huffman tables in one segment.
        [unit] = deliver(self.receiver, GSTREAMER)
        tables = [bytes([number]) + table for number, table in jpegParts(GSTREAMER_FILE).huffman.items()]
        apart = b"".join(b"\xff\xc4" + (len(table) + 2).to_bytes(2, "big") + table for table in tables)
        self.assertEqual(unit.data, GSTREAMER_FILE.replace(apart, b"\xff\xc4\x01\xa2" + b"".join(tables)))

    def test_computedTablesAreThoseOfLibjpeg(self) -> None:
        self.assertEqual(scaledTables(85), TABLES_85)
        # jpegenc quality=50 again, with Q 50 instead of tables.
        for file in (GSTREAMER_FILE, GSTREAMER_FILE_422):
            [unit] = deliver(self.receiver, jpegPackets(file, 0, 50, 50))
            self.assertEqual(parts(unit), jpegParts(file))

    def test_computedTablesOfEveryQ(self) -> None:
        for q in range(1, 100):
            [unit] = deliver(self.receiver, jpegPackets(FILE, 0, 50, q))
            self.assertEqual(b"".join(parts(unit).tables.values()), scaledTables(q))
        # 50 leaves the tables as they are; 1 is 50 times as coarse, 25 twice.
        luma = jpegParts(GSTREAMER_FILE).tables[0]
        self.assertEqual(scaledTables(50)[:64], luma)
        self.assertEqual(scaledTables(1)[:64], b"\xff" * 64)
        self.assertEqual(scaledTables(25)[:64], bytes(min(value * 2, 255) for value in luma))
        self.assertEqual(scaledTables(99)[0], 1)

    def test_reservedQ(self) -> None:
        for q in (0, 100, 127):
            self.assertEqual(deliver(self.receiver, jpegPackets(FILE, 0, 50, q)), [])

    def test_tablesThatAreSentOnce(self) -> None:
        [first] = deliver(self.receiver, jpegPackets(FILE, 0, 50, 128))
        deliver(self.receiver, jpegPackets(GSTREAMER_FILE, 1, 50, 254))
        [unit] = deliver(self.receiver, jpegPackets(FILE, 2, 50, 128, withTables=False))
        self.assertEqual(unit.data, first.data)
        [unit] = deliver(self.receiver, jpegPackets(GSTREAMER_FILE, 3, 50, 254, withTables=False))
        self.assertEqual(parts(unit), jpegParts(GSTREAMER_FILE))

    def test_tablesThatWereNeverSent(self) -> None:
        deliver(self.receiver, jpegPackets(FILE, 0, 50, 128))
        self.assertEqual(deliver(self.receiver, jpegPackets(FILE, 1, 50, 129, withTables=False)), [])

    def test_tablesOf255AreAlwaysSent(self) -> None:
        deliver(self.receiver, jpegPackets(FILE, 0, 50, 255))
        self.assertEqual(deliver(self.receiver, jpegPackets(FILE, 1, 50, 255, withTables=False)), [])
        [unit] = deliver(self.receiver, jpegPackets(GSTREAMER_FILE, 2, 50, 255))
        self.assertEqual(parts(unit), jpegParts(GSTREAMER_FILE))

    def test_tablesOf16Bits(self) -> None:
        wide = bytes(range(128))
        narrow = bytes(range(1, 65))
        for tables, selectors in (([wide, narrow], (0, 1, 1)), ([narrow, wide], (0, 1, 1)), ([wide], (0, 0, 0))):
            data = picture(tables, b"scan" + EOI)
            found = jpegParts(data)
            self.assertEqual(found.tables, dict(enumerate(tables)))
            self.assertEqual(found.selectors, selectors)
            # Extended sequential: baseline has no tables of 16 bits.
            self.assertIn(b"\xff\xc1\x00\x11\x08", data)
        self.assertIn(b"\xff\xc0\x00\x11\x08", picture([narrow, narrow], b"scan"))
        # The precision of a table that is not there.
        [unit] = self.receiver.receive(bytes.fromhex("00000000 01ff0404 00020040") + narrow + b"scan", 0, True, False)
        self.assertIn(b"\xff\xc0\x00\x11\x08", unit.data)

    def test_moreTablesThanTheTypesUse(self) -> None:
        tables = [bytes([number]) * 64 for number in range(1, 5)]
        self.assertEqual(jpegParts(picture(tables, b"scan")).tables, dict(enumerate(tables[:2])))

    def test_tablesCutShort(self) -> None:
        head = bytes.fromhex("00000000 01ff0404 0000")
        for length, sent in ((63, 63), (65, 65), (127, 127), (128, 127), (0xFFFF, 128)):
            payload = head + length.to_bytes(2, "big") + bytes(sent)
            self.assertEqual(self.receiver.receive(payload, 0, True, False), (), length)
        # The second of two is announced with 16 bits.
        payload = head[:-1] + b"\x02" + (128).to_bytes(2, "big") + bytes(140)
        self.assertEqual(self.receiver.receive(payload, 0, True, False), ())
        self.assertEqual(self.receiver.discarded, 0)

    def test_restartIntervals(self) -> None:
        for file in (GSTREAMER_FILE, GSTREAMER_FILE_422):
            [unit] = deliver(self.receiver, jpegPackets(file, 0, 50, interval=300))
            self.assertEqual(parts(unit), jpegParts(file)._replace(interval=300))
            self.assertIn(b"\xff\xdd\x00\x04\x01\x2c", unit.data)
        # Another interval makes another header; so does none.
        [unit] = deliver(self.receiver, jpegPackets(FILE, 0, 50, interval=4))
        self.assertEqual(parts(unit).interval, 4)
        [unit] = deliver(self.receiver, jpegPackets(FILE, 0, 50))
        self.assertEqual(parts(unit), jpegParts(FILE))

    def test_typesThatAreNotDefined(self) -> None:
        for kind in (2, 3, 63, 66, 127, 128, 129, 192, 255):
            packets = jpegPackets(FILE, 0, 5000, 50)
            packets = [
                packet._replace(payload=packet.payload[:4] + bytes([kind]) + packet.payload[5:]) for packet in packets
            ]
            self.assertEqual(deliver(self.receiver, packets), [], kind)

    def test_eoiOnce(self) -> None:
        for scan in (b"scan", b"scan" + EOI, b"scan" + EOI + bytes(30), b"scan" + EOI + b"\xff\xff"):
            [unit] = self.receiver.receive(BEGIN + scan, 0, True, False)
            self.assertEqual(parts(unit).scan, b"scan" + EOI)
        # Divided between two packets.
        packets = [Packet(BEGIN + b"scan\xff", 0, False), Packet(b"\0\0\0\x05" + MAIN + b"\xd9", 0, True)]
        [unit] = deliver(self.receiver, packets)
        self.assertEqual(parts(unit).scan, b"scan" + EOI)

    def test_eoiInTheHeaderIsNone(self) -> None:
        data = picture([b"\xff\xd9" * 32, b"\xff\xd9" * 32], b"a")
        self.assertEqual(jpegParts(data).scan, b"a" + EOI)

    def test_typeSpecificByteIsNoOffset(self) -> None:
        # Fields of interlaced video: each is a picture. Here only the second has the marker.
        first = Packet(b"\x01\0\0\0" + MAIN + b"first", 0, False)
        second = Packet(b"\x02\0\0\0" + MAIN + b"second", 0, True)
        units = deliver(self.receiver, [first, second])
        self.assertEqual([parts(unit).scan for unit in units], [b"first" + EOI, b"second" + EOI])

    def test_offsetsMustFollow(self) -> None:
        for offset in (3, 5):
            packets = [Packet(BEGIN + b"scan", 0, False), Packet(offset.to_bytes(4, "big") + MAIN + b"more", 0, True)]
            self.assertEqual(deliver(self.receiver, packets), [])
        self.assertEqual(self.receiver.discarded, 2)

    def test_headersMustAgree(self) -> None:
        for other in ("00320404", "01330404", "01320504", "01320405"):
            packets = [Packet(BEGIN + b"scan", 0, False), Packet(b"\0\0\0\x04" + bytes.fromhex(other) + b"a", 0, True)]
            self.assertEqual(deliver(self.receiver, packets), [])
        self.assertEqual(self.receiver.discarded, 4)

    def test_lostMarkerIsSeenByTheTime(self) -> None:
        packets = [packet._replace(marker=False) for packet in jpegPackets(FILE, 0, 50)]
        self.assertEqual(deliver(self.receiver, packets), [])
        units = deliver(self.receiver, jpegPackets(GSTREAMER_FILE, 1, 50))
        self.assertEqual(
            [(unit.time, parts(unit)) for unit in units], [(0, jpegParts(FILE)), (1, jpegParts(GSTREAMER_FILE))]
        )

    def test_endThatMayBeMissingIsNotConfirmedByALaterPacket(self) -> None:
        deliver(self.receiver, jpegPackets(FILE, 0, 50)[:-1])
        packet = jpegPackets(FILE, 1, 1000)[0]
        self.assertEqual([unit.time for unit in self.receiver.receive(*packet, True)], [1])
        self.assertEqual(self.receiver.discarded, 1)

    def test_flush(self) -> None:
        packets = [packet._replace(marker=False) for packet in jpegPackets(FILE, 0, 50)]
        deliver(self.receiver, packets)
        [unit] = self.receiver.flush()
        self.assertEqual(parts(unit), jpegParts(FILE))
        deliver(self.receiver, packets[:-1])
        self.assertEqual((self.receiver.flush(), self.receiver.discarded), ((), 1))
        self.assertEqual((self.receiver.flush(), self.receiver.discarded), ((), 1))

    def test_nothingBetweenTheHeaders(self) -> None:
        # The first packet has tables and no scan.
        self.assertEqual(deliver(self.receiver, [Packet(BEGIN, 0, True)]), [])
        self.assertEqual(self.receiver.discarded, 1)

    def test_headerCutShort(self) -> None:
        payload = jpegPackets(FILE, 0, 5000, interval=1)[0].payload
        for length in range(8 + 4 + 4 + 64 + 1):
            self.assertEqual(
                self.receiver.receive(payload[:length], 0, True, False)[:], [] if length == 80 else (), length
            )
        self.assertEqual(len(self.receiver.receive(payload[:81], 0, True, False)), 1)

    def test_emptyPacketsMeanNothing(self) -> None:
        packets = jpegPackets(FILE, 0, 50)
        packets[1:1] = [Packet(b"", 0, False)]
        self.assertEqual(len(deliver(self.receiver, packets)), 1)

    def test_shortPacketInAPicture(self) -> None:
        packets = jpegPackets(FILE, 0, 50)
        packets[1:1] = [Packet(b"\0\0\0\x32\x01\xff\x04", 0, False)]
        self.assertEqual(deliver(self.receiver, packets), [])
        self.assertEqual(self.receiver.discarded, 1)


class SizeTests(SynchronousTestCase):
    """Packets of a picture, by the two bytes of its size, into a depacketizer that was given another."""

    def size(self, columns: int, rows: int, width: int, height: int) -> tuple[int, int] | None:
        receiver = JPEGDepacketizer(width, height)
        units = receiver.receive(BEGIN[:6] + bytes([columns, rows]) + b"scan", 0, True, False)
        if not units:
            return None
        found = parts(units[0])
        self.assertEqual((receiver.width, receiver.height), (found.width, found.height))
        return found.width, found.height

    def test_ofTheHeader(self) -> None:
        self.assertEqual(self.size(8, 6, 0, 0), (64, 48))
        self.assertEqual(self.size(255, 255, 0, 0), (2040, 2040))

    def test_largerThanTheHeaderCanSay(self) -> None:
        # GStreamer writes 0 for both, with a=x-dimensions; ffmpeg the lowest bits of 320 and 180, with nothing.
        self.assertEqual(self.size(0, 0, 2560, 1440), (2560, 1440))
        self.assertEqual(self.size(0, 180, 2560, 1440), (2560, 1440))
        self.assertEqual(self.size(64, 180, 2560, 1440), (2560, 1440))
        self.assertEqual(self.size(64, 180, 0, 0), (512, 1440))

    def test_largerAndNotDescribed(self) -> None:
        for width, height in ((0, 0), (2560, 0), (0, 1440), (65536, 1440), (2560, 65536), (-1, 1440)):
            self.assertEqual(self.size(0, 0, width, height), None)
            self.assertEqual(self.size(0, 6, width, height), None)
            self.assertEqual(self.size(8, 0, width, height), None)

    def test_sizesThatAreNoMultiplesOf8(self) -> None:
        self.assertEqual(self.size(8, 6, 60, 44), (60, 44))
        self.assertEqual(self.size(8, 6, 57, 41), (57, 41))

    def test_descriptionOfSomethingElse(self) -> None:
        for width, height in ((56, 48), (65, 48), (64, 40), (64, 49), (64, 24)):
            self.assertEqual(self.size(8, 6, width, height), (64, 48))

    def test_knownBeforeTheFirstPicture(self) -> None:
        receiver = JPEGDepacketizer(60, 44)
        self.assertEqual((receiver.width, receiver.height), (60, 44))


class LossTests(SynchronousTestCase):
    files = st.sampled_from([FILE, GSTREAMER_FILE, GSTREAMER_FILE_422])
    pictures = st.tuples(files, st.integers(1, 120), st.sampled_from([1, 50, 99, 200, 255]), st.integers(0, 3))

    @given(st.lists(pictures, max_size=6), losses)
    def test_anyLossLeavesTheOtherPictures(self, made: list[tuple[bytes, int, int, int]], missing: set[int]) -> None:
        packets: list[Packet] = []
        expected = []
        for number, (file, size, q, interval) in enumerate(made):
            added = jpegPackets(file, number * STEP, size, q, interval=interval)
            if missing.isdisjoint(range(len(packets), len(packets) + len(added))):
                tables = jpegParts(file).tables
                if q < 100:
                    tables = {0: scaledTables(q)[:64], 1: scaledTables(q)[64:]}
                found = jpegParts(file)._replace(tables=tables, interval=interval)
                expected.append((number * STEP, found._replace(selectors=(0, 1, 1) if len(tables) == 2 else (0, 0, 0))))
            packets += added
        units = damaged(JPEGDepacketizer(), packets, missing)
        self.assertEqual([(unit.time, parts(unit)) for unit in units], expected)

    @given(
        noise([BEGIN, b"\0\0\0\1" + MAIN, bytes.fromhex("00000000 41ff0404 00010000"), FFMPEG[0].payload, BEGIN[:6]])
    )
    def test_nothingIsRaised(self, packets: list[tuple[Packet, bool]]) -> None:
        receiver = JPEGDepacketizer(32, 32)
        for packet, lost in packets:
            receiver.receive(*packet, lost)
        receiver.flush()

    def test_endlessPicture(self) -> None:
        def following(place: int) -> bytes:
            return (place + 1).to_bytes(4, "big") + MAIN + b"a"

        flood(JPEGDepacketizer, BEGIN + b"a", following, MAX_FRAME // 64)
