/**
 * Identify Namespace data (NVM Command Set Specification 1.0, 4.1.5): how a namespace is formatted.
 */
import { IntegrityError } from '../errors.js';
import type { GuardKind, ProtectionType } from '../pi/profile.js';

/** The format in use. Sizes in bytes. */
export interface NamespaceFormat {
  readonly blockSize: number;
  /** MS: metadata beside every block; 0 for none. */
  readonly metadataSize: number;
  /** The metadata follows its block in one buffer, instead of lying in one of its own. */
  readonly extended: boolean;
  /** DPS bits 2:0; 0 without protection information. */
  readonly protectionType: ProtectionType;
  /** By PIF: 16b or 64b guard; null for a guard that no kernel here knows, and for a namespace with a storage tag. */
  readonly guard: GuardKind | null;
  /** Where in the metadata the tuple lies: DPS bit 3 says that it comes first, else it is the last. */
  readonly piOffset: number;
}

/** Bytes of both structures. */
export const IDENTIFY_BYTES = 4096;

const FLBAS = 26;
const DPS = 29;
const LBA_FORMATS = 128;
const EXTENDED_LBA_FORMATS = 12;
/** 512 bytes to the largest block that Linux takes, 64 KiB. */
const LBADS = { min: 9, max: 16 };

/** By PIF, protection information format; 1 is the 32b guard. */
const GUARDS: Readonly<Record<number, { guard: GuardKind; tupleSize: number }>> = {
  0: { guard: 'crc16', tupleSize: 8 },
  2: { guard: 'crc64', tupleSize: 16 },
};
const NO_GUARD = { guard: null, tupleSize: 0 };

/**
 * @param namespace Identify Namespace data (CNS 00h).
 * @param nvm I/O command set specific Identify Namespace data of the NVM command set (CNS 05h); null where the controller has
 * none, and then every guard is the 16b one.
 * @throws ERR_MALFORMED_RESPONSE for data of another length, a reserved protection type, a block size or a place of the
 * tuple that cannot be.
 */
export function decodeNamespaceFormat(namespace: Uint8Array, nvm: Uint8Array | null): NamespaceFormat {
  const base = view('Identify Namespace data', namespace);
  const flbas = base.getUint8(FLBAS);
  // Bits 6:5 are the upper ones of the index, for namespaces of more than 16 formats.
  const index = (flbas & 0x0f) | ((flbas & 0x60) >> 1);
  const format = LBA_FORMATS + 4 * index;
  const metadataSize = base.getUint16(format, true);
  const blockExponent = base.getUint8(format + 2);
  if (blockExponent < LBADS.min || blockExponent > LBADS.max)
    throw malformed(format + 2, `LBADS ${blockExponent} is not from ${LBADS.min} to ${LBADS.max}`);

  const dps = base.getUint8(DPS);
  const protectionType = dps & 0x07;
  if (protectionType > 3) throw malformed(DPS, `protection type ${protectionType} is reserved`);
  const extended =
    nvm === null
      ? 0
      : view('NVM Identify Namespace data', nvm).getUint32(EXTENDED_LBA_FORMATS + 4 * index, true);
  const storageTagBits = extended & 0x7f;
  const { guard, tupleSize } = (storageTagBits === 0 && GUARDS[(extended >> 7) & 0x03]) || NO_GUARD;
  if (protectionType !== 0 && metadataSize < tupleSize)
    throw malformed(DPS, `a tuple of ${tupleSize} bytes does not fit into ${metadataSize} bytes of metadata`);
  return {
    blockSize: 2 ** blockExponent,
    metadataSize,
    extended: (flbas & 0x10) !== 0,
    protectionType: protectionType as ProtectionType,
    guard: protectionType === 0 ? null : guard,
    piOffset: protectionType === 0 || (dps & 0x08) !== 0 ? 0 : metadataSize - tupleSize,
  };
}

function view(structure: string, bytes: Uint8Array): DataView {
  if (bytes.length !== IDENTIFY_BYTES) {
    throw new IntegrityError(
      'ERR_MALFORMED_RESPONSE',
      `${structure}: ${bytes.length} bytes, not ${IDENTIFY_BYTES}`,
    );
  }
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function malformed(at: number, problem: string): IntegrityError {
  return new IntegrityError('ERR_MALFORMED_RESPONSE', `Identify Namespace data: byte ${at}: ${problem}`, {
    advice: 'The controller answers against the specification.',
  });
}
