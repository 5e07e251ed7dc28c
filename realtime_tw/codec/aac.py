"""
AAC: the AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) and ADTS (1.A.2.2), the frame header that carries the same facts
in seven bytes where no config travels beside the sound.

Only object types whose frames are raw data blocks are read: those with a GASpecificConfig (4.4.1), and ELD.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from realtime_tw.codec.bits import BitReader
from realtime_tw.errors import ProtocolError

#: Hz by samplingFrequencyIndex.
SAMPLE_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)

#: Bytes of one raw data block: 6144 bits for each of at most 48 channels are 36864 (4.5.1.1).
MAX_UNIT = 1 << 16

#: Bytes of an AudioSpecificConfig. The longest element in it, a program config with its comment, has less than 400.
MAX_CONFIG = 1024

AAC_MAIN = 1
AAC_LC = 2
SBR = 5
ER_AAC_LD = 23
PS = 29
ER_AAC_ELD = 39

_RATE_INDEX = {rate: index for index, rate in enumerate(SAMPLE_RATES)}
_RATE_ESCAPE = 15
_TYPE_ESCAPE = 31

# Output channels by channelConfiguration (1.6.3.5).
_CHANNELS = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 13: 24, 14: 8}

_GENERAL_AUDIO = frozenset((1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, 23))
_RESILIENT = frozenset((17, 19, 20, 23))
_WITH_EP_CONFIG = frozenset((17, 19, 20, 21, 22, 23, 39))
_BSAC = 22
_SCALABLE = frozenset((6, 20))

# What announces SBR, and after it PS, behind a config that decoders without them can read (1.6.2.1).
_SYNC_SBR = 0x2B7
_SYNC_PS = 0x548

#: Bytes of an ADTS header without its checksum, and what its length field can count with it.
ADTS_HEADER = 7
MAX_ADTS = (1 << 13) - 1


@dataclass(frozen=True, slots=True)
class AudioSpecificConfig:
    """
    How AAC is coded.

    :ivar objectType: of the core: 2 is AAC-LC.
    :ivar sampleRate: of the core, in Hz.
    :ivar channelConfig: 0 when a program config element tells the channels.
    :ivar channels: of the core; 0 when not known.
    :ivar samplesPerFrame: of the core, per channel.
    :ivar extension: 0, :data:`SBR` or :data:`PS` when signalled explicitly.
    :ivar extensionRate: Hz of the output with SBR; 0 without.
    :ivar trailing: the extension stands behind the core's config, where old decoders do not look; also when all that it
        says is that there is none.
    """

    objectType: int
    sampleRate: int
    channelConfig: int
    channels: int
    samplesPerFrame: int = 1024
    extension: int = 0
    extensionRate: int = 0
    trailing: bool = False

    @property
    def outputRate(self) -> int:
        """Hz of what a decoder gives."""
        return self.extensionRate or self.sampleRate

    @property
    def outputChannels(self) -> int:
        """Channels of what a decoder gives: parametric stereo makes two of one."""
        return 2 if self.extension == PS and self.channels == 1 else self.channels


def parseConfig(data: bytes) -> AudioSpecificConfig:
    """
    :param data: an AudioSpecificConfig; bytes behind it are ignored.
    :raises ProtocolError: for one that is truncated, too long, or of an object type that is not AAC.
    """
    if len(data) > MAX_CONFIG:
        raise ProtocolError(f"AudioSpecificConfig of more than {MAX_CONFIG} bytes")
    return readConfig(BitReader(data))


def readConfig(bits: BitReader) -> AudioSpecificConfig:
    """
    An AudioSpecificConfig wherever it begins; the reader is then behind it.

    :raises ProtocolError: as :func:`parseConfig`.
    """
    start = bits.position
    objectType = _readObjectType(bits)
    rate = _readRate(bits)
    channelConfig = bits.bits(4)
    extension = extensionRate = 0
    if objectType in (SBR, PS):
        extension = objectType
        extensionRate = _readRate(bits)
        objectType = _readObjectType(bits)
        if objectType == _BSAC:
            bits.bits(4)
    channels = _CHANNELS.get(channelConfig, 0)
    if objectType in _GENERAL_AUDIO:
        samples, counted = _readGeneralAudio(bits, objectType, channelConfig, start)
        channels = channels or counted
    elif objectType == ER_AAC_ELD:
        samples = 480 if bits.bits(1) else 512
        # The rest of an ELDSpecificConfig is for decoders only, and nothing that matters here stands behind it.
        return AudioSpecificConfig(objectType, rate, channelConfig, channels, samples, extension, extensionRate)
    else:
        raise ProtocolError(f"audio object type {objectType} is not AAC")
    if objectType in _WITH_EP_CONFIG and bits.bits(2) > 1:
        raise ProtocolError("AAC with error protection is not supported")
    trailing = not extension and _comes(bits, _SYNC_SBR)
    if trailing:
        extension, extensionRate = _readTrailing(bits)
    return AudioSpecificConfig(objectType, rate, channelConfig, channels, samples, extension, extensionRate, trailing)


def _readObjectType(bits: BitReader) -> int:
    objectType = bits.bits(5)
    return 32 + bits.bits(6) if objectType == _TYPE_ESCAPE else objectType


def _readRate(bits: BitReader) -> int:
    index = bits.bits(4)
    if index == _RATE_ESCAPE:
        rate = bits.bits(24)
        if not rate:
            raise ProtocolError("AAC sample rate of zero")
        return rate
    if index >= len(SAMPLE_RATES):
        raise ProtocolError("reserved AAC sample rate")
    return SAMPLE_RATES[index]


def _readGeneralAudio(bits: BitReader, objectType: int, channelConfig: int, start: int) -> tuple[int, int]:
    """GASpecificConfig: samples per frame; channels of the program config element, if there is one."""
    short = bits.bits(1)
    if bits.bits(1):
        bits.bits(14)  # delay of a core coder
    extended = bits.bits(1)
    channels = 0 if channelConfig else _readProgramConfig(bits, start)
    if objectType in _SCALABLE:
        bits.bits(3)
    if extended:
        if objectType == _BSAC:
            bits.bits(16)
        elif objectType in _RESILIENT:
            bits.bits(3)
        bits.bits(1)
    if objectType == ER_AAC_LD:
        return 480 if short else 512, channels
    return 960 if short else 1024, channels


def _readProgramConfig(bits: BitReader, start: int) -> int:
    """program_config_element (4.4.1.1). :param start: where byte alignment counts from. :return: its channels."""
    bits.bits(4 + 2 + 4)
    front, side, back, lfe, data, coupling = (bits.bits(width) for width in (4, 4, 4, 2, 3, 4))
    for mixdown in (4, 4, 3):
        if bits.bits(1):
            bits.bits(mixdown)
    channels = lfe
    for _ in range(front + side + back):
        channels += 1 + (bits.bits(5) >> 4)
    bits.skip(lfe * 4 + data * 4 + coupling * 5)
    bits.skip(-(bits.position - start) % 8)
    bits.skip(bits.bits(8) * 8)  # the comment
    return channels


def _comes(bits: BitReader, sync: int) -> bool:
    """Whether these 11 bits come next; only then they are read."""
    if bits.left < 11:
        return False
    position = bits.position
    if bits.bits(11) == sync:
        return True
    bits.position = position
    return False


def _readTrailing(bits: BitReader) -> tuple[int, int]:
    """The extension behind a config: its object type and output rate; zeros when it says that there is none."""
    objectType = _readObjectType(bits)
    if objectType != SBR or not bits.bits(1):
        return 0, 0
    rate = _readRate(bits)
    if _comes(bits, _SYNC_PS) and bits.bits(1):
        return PS, rate
    return SBR, rate


def buildConfig(config: AudioSpecificConfig) -> bytes:
    """
    An AudioSpecificConfig from what :func:`parseConfig` gives.

    :raises ProtocolError: for channels that need a program config element, and for object types other than 1 to 4 and
        frame lengths that they do not have.
    """
    if not 1 <= config.channelConfig <= 15 or config.samplesPerFrame not in (1024, 960):
        raise ProtocolError("AudioSpecificConfig that cannot be written")
    if not 1 <= config.objectType <= 4:
        raise ProtocolError(f"AudioSpecificConfig of object type {config.objectType} cannot be written")
    hierarchical = config.extension and not config.trailing
    fields = [(config.extension if hierarchical else config.objectType, 5)]
    fields += _rateFields(config.sampleRate)
    fields.append((config.channelConfig, 4))
    if hierarchical:
        fields += [*_rateFields(config.extensionRate), (config.objectType, 5)]
    fields += [(int(config.samplesPerFrame == 960), 1), (0, 2)]
    if config.trailing:
        fields += [(_SYNC_SBR, 11), (SBR, 5), (int(config.extension > 0), 1)]
        if config.extension:
            fields += _rateFields(config.extensionRate)
        if config.extension == PS:
            fields += [(_SYNC_PS, 11), (1, 1)]
    value = width = 0
    for number, count in fields:
        value = value << count | number
        width += count
    return (value << (-width % 8)).to_bytes((width + 7) // 8)


def _rateFields(rate: int) -> list[tuple[int, int]]:
    index = _RATE_INDEX.get(rate)
    if index is not None:
        return [(index, 4)]
    if not 0 < rate < 1 << 24:
        raise ProtocolError(f"AAC sample rate of {rate} Hz")
    return [(_RATE_ESCAPE, 4), (rate, 24)]


def adtsHeader(config: bytes, size: int) -> bytes:
    """
    The header that makes a raw data block an ADTS frame.

    SBR is left to be found by the decoder: ADTS has no place for it.

    :param config: an AudioSpecificConfig.
    :param size: bytes of the raw data block.
    :raises ProtocolError: when ADTS cannot say it: object types above 4, other rates than the thirteen, channels of a
        program config element or more than 8, 960 samples per frame, more than 8184 bytes.
    """
    header = _adtsTemplate(config)
    size += ADTS_HEADER
    if size > MAX_ADTS:
        raise ProtocolError("AAC frame that is too large for ADTS")
    return (header | size << 13).to_bytes(ADTS_HEADER)


# The same for every frame of a track. Far more tracks than this are no work for one process.
@lru_cache(256)
def _adtsTemplate(data: bytes) -> int:
    """The header of a frame of size 0, as a number."""
    config = parseConfig(data)
    index = _RATE_INDEX.get(config.sampleRate)
    if not 1 <= config.objectType <= 4 or not 1 <= config.channelConfig <= 7:
        raise ProtocolError("AAC with an object type or channels that ADTS does not have")
    if index is None or config.samplesPerFrame != 1024:
        raise ProtocolError("AAC with a rate or frame length that ADTS does not have")
    head = 0xFFF1 << 8 | (config.objectType - 1) << 6 | index << 2 | config.channelConfig >> 2
    # A buffer fullness of all ones: variable rate.
    return head << 32 | (config.channelConfig & 3) << 30 | 0x7FF << 2


class ADTSFrame(NamedTuple):
    """
    What an ADTS header says.

    :ivar headerSize: bytes before the first raw data block.
    :ivar frameSize: bytes of header and blocks.
    :ivar blocks: raw data blocks in the frame, 1 nearly always.
    """

    config: AudioSpecificConfig
    headerSize: int
    frameSize: int
    blocks: int


def parseADTS(data: bytes, offset: int = 0) -> ADTSFrame:
    """
    The ADTS header at an offset; the frame behind it need not be there yet.

    :raises ProtocolError: for less than :data:`ADTS_HEADER` bytes, and for what is no ADTS header.
    """
    header = int.from_bytes(data[offset : offset + ADTS_HEADER])
    if len(data) - offset < ADTS_HEADER or header >> 40 & 0xFFF6 != 0xFFF0:
        raise ProtocolError("not an ADTS header")
    index = header >> 34 & 0xF
    headerSize = ADTS_HEADER if header >> 40 & 1 else ADTS_HEADER + 2
    frameSize = header >> 13 & 0x1FFF
    if index >= len(SAMPLE_RATES) or frameSize < headerSize:
        raise ProtocolError("bad ADTS header")
    channelConfig = header >> 30 & 7
    config = AudioSpecificConfig((header >> 38 & 3) + 1, SAMPLE_RATES[index], channelConfig, _CHANNELS[channelConfig])
    return ADTSFrame(config, headerSize, frameSize, (header & 3) + 1)
