import fc from 'fast-check';
import t from 'tap';
import { IntegrityError } from '../../src/errors.js';
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
        try {
          return describeOutcome(classify({ ...one, status: one.status & 1 ? 2 : one.status })).length > 0;
        } catch (error) {
          return error instanceof IntegrityError && error.code === 'ERR_MALFORMED_RESPONSE';
        }
      }),
      { numRuns: 2000 },
    ),
  );
});
