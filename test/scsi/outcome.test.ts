import fc from 'fast-check';
import t from 'tap';
import { additionalSenseText } from '../../src/scsi/additional-sense.js';
import { classify, describeOutcome, type ScsiOutcome } from '../../src/scsi/outcome.js';
import { decodeSense, senseText } from '../../src/scsi/sense.js';
import { bytes } from './hex.js';

/** Fixed format, current, without INFORMATION. */
const fixed = (key: string, asc: string, ascq: string) =>
  `70 00 ${key} 00000000 0a 00000000 ${asc} ${ascq} 00 000000`;

// What sg_decode_sense of sg3-utils 1.46 says of the same bytes, in this package's words.
t.test('sense data in both formats', async (t) => {
  const cases: [string, string, bigint | null][] = [
    [fixed('0b', '10', '01'), 'ABORTED COMMAND 0Bh/10h/01h: Logical block guard check failed', null],
    [
      'f0 00 0b 00000019 0a 00000000 10 03 00 000000',
      'ABORTED COMMAND 0Bh/10h/03h: Logical block reference tag check failed',
      25n,
    ],
    ['72 05 20 00 000000 00', 'ILLEGAL REQUEST 05h/20h/00h: Invalid command operation code', null],
    [
      '72 0b 10 02 000000 0c 00 0a 80 00 0000000123456789',
      'ABORTED COMMAND 0Bh/10h/02h: Logical block application tag check failed',
      0x123456789n,
    ],
    [
      '71 00 03 00000000 0a 00000000 11 00 00 000000',
      'deferred MEDIUM ERROR 03h/11h/00h: Unrecovered read error',
      null,
    ],
    [
      '73 06 29 00 000000 00',
      'deferred UNIT ATTENTION 06h/29h/00h: Power on, reset, or bus device reset occurred',
      null,
    ],
    [fixed('02', '04', '04'), 'NOT READY 02h/04h/04h: Logical unit not ready, format in progress', null],
    [fixed('05', '80', '7f'), 'ILLEGAL REQUEST 05h/80h/7Fh', null],
  ];
  for (const [hex, text, information] of cases) {
    const sense = decodeSense(bytes(hex))!;
    t.equal(senseText(sense), text);
    t.equal(sense.information, information, text);
  }
});

t.test('sense that is short, odd or none', async (t) => {
  t.equal(decodeSense(new Uint8Array(0)), null);
  t.equal(decodeSense(new Uint8Array(96)), null);
  t.match(decodeSense(bytes('70 00 0b')), { key: 0xb, asc: 0, ascq: 0, information: null });
  t.match(decodeSense(bytes('f0 00 0b 00000019 00')), { information: 25n, asc: 0 }, 'no additional bytes');
  t.match(
    decodeSense(bytes('70 00 0b 00000000 05 00000000 10 01 00 000000')),
    { asc: 0x10, ascq: 0 },
    'its additional length ends before the ASCQ',
  );
  t.match(decodeSense(bytes('72 0b 10 01')), { asc: 0x10, ascq: 1 }, 'no descriptors');
  t.match(
    decodeSense(bytes('72 0b 10 01 000000 0c 00 0a 80 00 000000')),
    { asc: 0x10, information: null },
    'a descriptor that is cut off',
  );
  t.match(
    decodeSense(bytes('72 0b 10 01 000000 0c 00 0a 00 00 0000000000000019')),
    { information: null },
    'INFORMATION that is not valid',
  );
  t.match(
    decodeSense(bytes('72 0b 10 01 000000 14 02 06 0000 c0 0001 00 00 0a 80 00 0000000000000019')),
    { information: 25n },
    'another descriptor before it',
  );
  t.match(decodeSense(bytes('72 0b 10 01 000000 ff 80 00 80 00 00 0a 80 00 0000000000000019')), {
    information: 25n,
  });
  t.throws(() => decodeSense(bytes('12 00 0b')), {
    code: 'ERR_MALFORMED_RESPONSE',
    message: /sense data: byte 0.*12h/,
  });
  t.throws(() => decodeSense(bytes('70 00')), { code: 'ERR_MALFORMED_RESPONSE', message: /byte 2/ });
});

// Byte by byte from the tables of SPC-5, SAT-4 and SBC-4.
t.test('every part of the sense', async (t) => {
  const descriptors = (key: string, hex: string) => {
    const length = bytes(hex).length.toString(16).padStart(2, '0');
    return `72 ${key} 11 00 000000 ${length} ${hex}`;
  };
  const cases: [string, string, object][] = [
    ['an ILI in fixed format', '70 00 23 00000000 0a 00000000 11 00 00 000000', { incorrectLength: true }],
    ['SDAT_OVFL in fixed format', '70 00 13 00000000 0a 00000000 11 00 00 000000', { overflow: true }],
    ['SDAT_OVFL', '72 03 11 00 800000 00', { overflow: true, incorrectLength: false }],
    [
      'COMMAND-SPECIFIC and the rest of fixed format',
      '70 00 03 00000000 0a 00000007 11 00 44 800005',
      { commandSpecific: 7n, replaceableUnit: 0x44, retryCount: 5, fieldPointer: null, progress: null },
    ],
    [
      'nothing of these',
      fixed('03', '11', '00'),
      { commandSpecific: null, replaceableUnit: null, retryCount: null, forwarded: [], others: [] },
    ],
    ['progress', '70 00 02 00000000 0a 00000000 04 04 00 804000', { progress: 0.25, retryCount: null }],
    ['progress without SKSV', '70 00 02 00000000 0a 00000000 04 04 00 004000', { progress: null }],
    ['a queue that overflowed', '70 00 06 00000000 0a 00000000 29 00 00 810000', { attentionsLost: true }],
    ['a queue that did not', '70 00 06 00000000 0a 00000000 29 00 00 800000', { attentionsLost: false }],
    [
      'COMMAND-SPECIFIC',
      descriptors('0b', '01 0a 00 00 0102030405060708'),
      { commandSpecific: 0x0102030405060708n },
    ],
    ['a retry count', descriptors('04', '02 06 0000 80 0005 00'), { retryCount: 5 }],
    ['a replaceable unit', descriptors('03', '03 02 00 99'), { replaceableUnit: 0x99 }],
    ['an ILI', descriptors('03', '05 02 00 20'), { incorrectLength: true }],
    [
      'what an ATA disk answered',
      descriptors('0b', '09 0c 01 11 2233 44 55 66 77 88 99 aa bb'),
      {
        ataStatus: {
          extend: true,
          error: 0x11,
          count: 0x2233,
          lba: 0x886644997755n,
          device: 0xaa,
          status: 0xbb,
        },
      },
    ],
    [
      'without EXTEND',
      descriptors('0b', '09 0c 00 11 2233 44 55 66 77 88 99 aa bb'),
      { ataStatus: { extend: false, count: 0x33, lba: 0x997755n } },
    ],
    [
      'the sense of two other devices',
      descriptors('0b', `0c 14 82 02 ${fixed('05', '24', '00')} 0c 02 01 08`),
      {
        forwarded: [
          { truncated: true, source: 2, status: 2, sense: { key: 5, asc: 0x24 } },
          { truncated: false, source: 1, status: 8, sense: null },
        ],
      },
    ],
    [
      'forwarded sense of no known format',
      descriptors('0b', '0c 05 00 02 7f 00 05'),
      { forwarded: [{ sense: null }] },
    ],
    [
      'and of less than a sense key',
      descriptors('0b', '0c 04 00 02 70 00'),
      { forwarded: [{ sense: null }] },
    ],
    [
      'all in one',
      descriptors('05', '0d 1e a0 00 cf 0009 77 0000000102030405 0000000000000007 0000000000000000'),
      {
        information: 0x0102030405n,
        incorrectLength: true,
        fieldPointer: { inCdb: true, byte: 9, bit: 7 },
        replaceableUnit: 0x77,
        commandSpecific: 7n,
      },
    ],
    [
      'nothing in it',
      descriptors('05', `0d 1e ${'00'.repeat(30)}`),
      { information: null, fieldPointer: null, replaceableUnit: null, commandSpecific: null },
    ],
    [
      'descriptors of others, and one of another length',
      descriptors('03', '80 02 0102 00 02 8000'),
      {
        information: null,
        others: [
          { type: 0x80, bytes: bytes('0102') },
          { type: 0, bytes: bytes('8000') },
        ],
      },
    ],
  ];
  for (const [name, hex, expected] of cases) t.match(decodeSense(bytes(hex)), expected, name);
});

t.test('additional sense codes', async (t) => {
  const cases: [number, number, string | null][] = [
    [0x00, 0x00, 'No additional sense information'],
    [0x10, 0x05, 'Logical block protection method error'],
    [0x40, 0x00, 'RAM failure'],
    [0x40, 0x7f, null],
    [0x40, 0x83, 'Diagnostic failure on component 83h'],
    [0x4d, 0x12, 'Tagged overlapped commands, task tag 12h'],
    [0x70, 0xff, 'Decompression exception, short algorithm id FFh'],
    [0x74, 0x79, 'Security conflict in translated device'],
    [0x10, 0x80, null],
    [0x80, 0x00, null],
  ];
  for (const [asc, ascq, text] of cases) t.equal(additionalSenseText(asc, ascq), text);
});

interface Answer {
  errno?: number;
  status?: number;
  host?: number;
  driver?: number;
  sense?: string;
}

function outcome({ errno = 0, status = 0, host = 0, driver = 0, sense = '' }: Answer): ScsiOutcome {
  return classify({ errno, status, hostStatus: host, driverStatus: driver, sense: bytes(sense) });
}

const check = (sense: string, host = 0): Answer => ({ status: 2, host, driver: 8, sense });

t.test('who refused', async (t) => {
  const information = 'f0 00 0b 00000019 0a 00000000 10 01 00 000000';
  const cases: [string, Answer, object][] = [
    [
      'a disk finds a bad guard',
      check(fixed('0b', '10', '01')),
      { checker: 'device', check: 'guard', lba: null },
    ],
    ['and says where', check(information), { checker: 'device', check: 'guard', lba: 25n }],
    ['a bad application tag', check(fixed('0b', '10', '02')), { checker: 'device', check: 'app' }],
    ['a bad reference tag', check(fixed('0b', '10', '03')), { checker: 'device', check: 'ref' }],
    ['without naming a tag', check(fixed('0b', '10', '04')), { checker: 'device', check: 'protection' }],
    // scsi_debug's opts=32, and every scsi_debug up to 4.19.
    ['a disk, though DID_ABORT', check(fixed('0b', '10', '01'), 5), { checker: 'device', check: 'guard' }],
    ['a host adapter', check(fixed('05', '10', '01'), 5), { checker: 'hba', check: 'guard' }],
    [
      'a host adapter with descriptor sense (lpfc, qla2xxx)',
      check('72 05 10 03 000000 0c 00 0a 80 00 0000000000000019', 5),
      { checker: 'hba', check: 'ref', lba: 25n },
    ],
    [
      'the same sense from over the wire',
      check(fixed('05', '10', '01')),
      { checker: 'device', check: 'guard' },
    ],
    ['VERIFY compares tuples', check(fixed('0e', '10', '03')), { checker: 'device', check: 'ref' }],
    [
      'an NVMe namespace behind a translation',
      check(fixed('03', '10', '02')),
      { checker: 'device', check: 'app' },
    ],
  ];
  for (const [name, answer, expected] of cases) {
    t.match(outcome(answer), { kind: 'protection', ...expected }, name);
  }
});

t.test('every other answer', async (t) => {
  const noSense = fixed('00', '00', '00');
  const cases: [string, Answer, object][] = [
    ['GOOD', {}, { kind: 'good', sense: null }],
    ['CONDITION MET', { status: 4 }, { kind: 'good' }],
    ['a recovered error', check(fixed('01', '17', '01')), { kind: 'good', sense: { key: 1 } }],
    ['stale sense beside GOOD', { sense: fixed('0b', '10', '01') }, { kind: 'good', sense: null }],
    ['an ID CRC error of the medium', check(fixed('03', '10', '00')), { kind: 'check-condition' }],
    ['user data that differs in VERIFY', check(fixed('0e', '1d', '00')), { kind: 'check-condition' }],
    [
      'invalid operation code',
      check(fixed('05', '20', '00')),
      { kind: 'check-condition', sense: { asc: 0x20 } },
    ],
    ['deferred', check('71 00 0b 00000000 0a 00000000 10 01 00 000000'), { kind: 'check-condition' }],
    ['CHECK CONDITION without sense', { status: 2 }, { kind: 'check-condition', sense: null }],
    ['UNIT ATTENTION', check(fixed('06', '29', '00')), { kind: 'unit-attention' }],
    ['NOT READY', check(fixed('02', '04', '04')), { kind: 'not-ready' }],
    ['BUSY', { status: 8 }, { kind: 'busy' }],
    ['TASK SET FULL', { status: 0x28 }, { kind: 'task-set-full' }],
    ['RESERVATION CONFLICT', { status: 0x18 }, { kind: 'reservation-conflict' }],
    ['ACA ACTIVE', { status: 0x30 }, { kind: 'status', status: 0x30 }],
    ['TASK ABORTED', { status: 0x40 }, { kind: 'status', status: 0x40 }],
    // scsi_debug's forged errors on 7.3: the kernel says DRIVER_SENSE wherever sense came.
    ['BUSY with sense', { status: 8, driver: 8, sense: fixed('0b', '10', '01') }, { kind: 'busy' }],
    // scsi_debug's own, with opts=0x800.
    ['TASK SET FULL with DID_ABORT', { status: 0x28, host: 5 }, { kind: 'task-set-full' }],
    ['TASK SET FULL of a disk that is gone', { status: 0x28, host: 1 }, { kind: 'gone' }],
    ['TASK SET FULL with NO SENSE', { status: 0x28, driver: 8, sense: noSense }, { kind: 'task-set-full' }],
    ['CONDITION MET with NO SENSE', { status: 4, driver: 8, sense: noSense }, { kind: 'good' }],
    ['CHECK CONDITION with NO SENSE', check(noSense), { kind: 'check-condition', sense: { key: 0 } }],
    ['NO SENSE beside GOOD', { driver: 8, sense: noSense }, { kind: 'good', sense: null }],
    [
      'a transport error with NO SENSE',
      { host: 2, driver: 8, sense: noSense },
      { kind: 'transport', name: 'DID_BUS_BUSY' },
    ],
    [
      'DID_ABORT with NO SENSE',
      { host: 5, driver: 8, sense: noSense },
      { kind: 'transport', name: 'DID_ABORT' },
    ],
    ['sense beside GOOD', { driver: 8, sense: fixed('06', '29', '00') }, { kind: 'unit-attention' }],
    ['a CDB that is too long', { host: 5 }, { kind: 'command-too-long' }],
    ['a timeout', { host: 3 }, { kind: 'timeout' }],
    ['a timeout of older kernels', { driver: 6 }, { kind: 'timeout' }],
    ['a transport error', { host: 7 }, { kind: 'transport', name: 'DID_ERROR' }],
    ['an unknown host status', { host: 99 }, { kind: 'transport', name: 'host status 99' }],
    ['a driver error', { driver: 4 }, { kind: 'transport', name: 'DRIVER_ERROR' }],
    ['an unplugged disk', { host: 1 }, { kind: 'gone', name: 'DID_NO_CONNECT' }],
    ['no such device any more', { errno: 19 }, { kind: 'gone', name: 'ENODEV' }],
    ['no such device or address', { errno: 6 }, { kind: 'gone', name: 'ENXIO' }],
    ['a refused ioctl', { errno: 1 }, { kind: 'ioctl-error', errno: 1 }],
  ];
  for (const [name, answer, expected] of cases) {
    const found = outcome(answer);
    t.match(found, expected, name);
    t.match(describeOutcome(found), /\w/, `${name}: in words`);
    if (found.kind === 'status') t.equal(describeOutcome(found), name);
  }
  t.equal(
    describeOutcome(outcome(check('f0 00 0b 00000019 0a 00000000 10 01 00 000000'))),
    'refused by the device at LBA 25: ABORTED COMMAND 0Bh/10h/01h: Logical block guard check failed',
  );
});

t.test('no answer crashes', async (t) => {
  const sense = fc.oneof(
    fc.uint8Array({ maxLength: 96 }),
    // Mutated: a legal response code, then anything.
    fc
      .tuple(fc.constantFrom(0x70, 0xf0, 0x71, 0x72, 0x73), fc.uint8Array({ maxLength: 95 }))
      .map(([code, rest]) => Uint8Array.of(code, ...rest)),
  );
  const byte = fc.nat({ max: 255 });
  const answer = fc.record({
    errno: fc.constantFrom(0, 0, 0, 6, 5),
    status: byte,
    hostStatus: byte,
    driverStatus: byte,
    sense,
  });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(answer, (one) => {
        return describeOutcome(classify({ ...one, status: one.status & 1 ? 2 : one.status })).length > 0;
      }),
      { numRuns: 2000 },
    ),
  );
});
