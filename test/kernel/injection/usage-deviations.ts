/**
 * Where scsi_debug's CDB USAGE DATA is known to differ from ours, and why. The control byte is none of it: of ours no bit is evaluated.
 */
export interface Deviation {
  readonly commands: readonly string[];
  /** Bytes of the CDB, first and last. */
  readonly at: readonly [number, number];
  /** Bits that the driver alone says it evaluates. */
  readonly theirs?: number;
  /** Bits that ours alone has. */
  readonly ours?: number;
  readonly why: string;
}

const SPC = ['INQUIRY', 'REPORT LUNS', 'REQUEST SENSE', 'LOG SENSE'];
const MODE = ['MODE SENSE(6)', 'MODE SENSE(10)', 'MODE SELECT(6)', 'MODE SELECT(10)'];
const SHORT = ['READ(6)', 'WRITE(6)', 'READ CAPACITY(10)'];

export const USAGE_DEVIATIONS: readonly Deviation[] = [
  { commands: [...SPC, ...MODE, ...SHORT], at: [1, 1], theirs: 0xe0, why: 'the LUN of SCSI-2' },
  { commands: ['INQUIRY'], at: [1, 1], theirs: 0x02, why: 'CMDDT, obsolete since SPC-3' },
  { commands: ['REPORT LUNS'], at: [1, 1], theirs: 0x03, why: 'reserved bits' },
  { commands: ['LOG SENSE'], at: [1, 1], theirs: 0x02, why: 'PPC, obsolete since SPC-4' },
  {
    commands: ['READ(10)', 'READ(12)', 'WRITE(10)', 'WRITE(12)', 'READ(16)', 'WRITE(16)'],
    at: [1, 1],
    theirs: 0x02,
    why: 'FUA_NV, obsolete since SBC-3',
  },
  { commands: ['READ(32)', 'WRITE(32)'], at: [10, 10], theirs: 0x02, why: 'FUA_NV' },
  {
    commands: [
      ...['READ(10)', 'READ(12)', 'WRITE(10)', 'WRITE(12)'],
      ...['VERIFY(10)', 'READ CAPACITY(10)', 'WRITE SAME(10)', 'SYNCHRONIZE CACHE(10)'],
    ],
    at: [1, 1],
    theirs: 0x01,
    why: 'RELADR of SCSI-2',
  },
  { commands: ['READ(12)', 'WRITE(12)'], at: [10, 10], theirs: 0x80, why: 'STREAMING, of optical disks' },
  { commands: ['VERIFY(10)'], at: [6, 6], theirs: 0x80, why: 'of optical disks' },
  { commands: ['READ CAPACITY(10)'], at: [2, 5], theirs: 0xff, why: 'the LBA that went with PMI' },
  { commands: ['READ CAPACITY(10)'], at: [8, 8], theirs: 0x01, why: 'PMI, obsolete since SBC-3' },
  { commands: ['READ CAPACITY(16)'], at: [2, 9], theirs: 0xff, why: 'the LBA that went with PMI' },
  { commands: ['READ CAPACITY(16)'], at: [14, 14], theirs: 0x01, why: 'PMI, obsolete since SBC-3' },
  {
    commands: ['WRITE SAME(10)', 'WRITE SAME(16)'],
    at: [1, 1],
    theirs: 0x06,
    why: 'PBDATA and LBDATA, obsolete since SBC-3',
  },
  {
    commands: ['SYNCHRONIZE CACHE(10)', 'SYNCHRONIZE CACHE(16)'],
    at: [1, 1],
    theirs: 0x04,
    why: 'SYNC_NV, obsolete since SBC-4',
  },
  { commands: ['WRITE ATOMIC(16)'], at: [1, 1], theirs: 0x07, why: 'the driver masks nothing' },
  { commands: ['WRITE ATOMIC(16)'], at: [14, 14], theirs: 0xc0, why: 'the driver masks nothing' },
  { commands: ['WRITE SCATTERED(32)'], at: [18, 27], theirs: 0xff, why: 'reserved bytes' },
  { commands: ['RESERVE(6)', 'RELEASE(6)'], at: [1, 1], theirs: 0x1f, why: 'third parties and extents' },
  { commands: ['RESERVE(6)'], at: [2, 4], theirs: 0xff, why: 'third parties and extents' },
  { commands: ['RELEASE(6)'], at: [2, 2], theirs: 0xff, why: 'third parties and extents' },
  { commands: ['RESERVE(10)'], at: [1, 1], theirs: 0xff, why: 'third parties and extents' },
  { commands: ['RELEASE(10)'], at: [1, 1], theirs: 0x13, why: 'third parties and extents' },
  { commands: ['RESERVE(10)', 'RELEASE(10)'], at: [2, 3], theirs: 0xff, why: 'third parties and extents' },
  { commands: ['RESERVE(10)', 'RELEASE(10)'], at: [7, 8], theirs: 0xff, why: 'third parties and extents' },
  { commands: ['REZERO UNIT'], at: [1, 1], theirs: 0x01, why: 'to the driver it is START STOP UNIT' },
  { commands: ['MODE SELECT(6)', 'MODE SELECT(10)'], at: [1, 1], ours: 0x02, why: 'RTD, of SPC-5' },
  { commands: ['READ(16)', 'WRITE(16)'], at: [1, 1], ours: 0x01, why: 'DLD2, of SBC-4' },
  { commands: ['READ(32)', 'WRITE(32)'], at: [11, 11], ours: 0x07, why: 'DLD, of SBC-4' },
  { commands: ['GET LBA STATUS(16)'], at: [14, 14], ours: 0xff, why: 'REPORT TYPE, of SBC-4' },
];

/** What the driver will say of a command for which ours is `map`. The control byte is 0. */
export function expectedUsage(name: string, map: Uint8Array): Uint8Array {
  const expected = withoutControl(map);
  for (const { commands, at, theirs = 0, ours = 0 } of USAGE_DEVIATIONS) {
    if (!commands.includes(name)) continue;
    for (let byte = at[0]; byte <= at[1]; byte++) expected[byte] = (expected[byte]! | theirs) & ~ours;
  }
  return expected;
}

const VARIABLE_LENGTH = 0x7f;

export function withoutControl(map: Uint8Array): Uint8Array {
  const rest = Uint8Array.from(map);
  rest[map[0] === VARIABLE_LENGTH ? 1 : map.length - 1] = 0;
  return rest;
}
