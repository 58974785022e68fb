import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import {
  explainRefusals,
  type KernelLogRecord,
  parseKmsgRecord,
  type Refusal,
} from '../../src/sysfs/kernel-log.js';

/** Records as /dev/kmsg gives them, one text each. */
function log(...texts: string[]): KernelLogRecord[] {
  return texts.map((text, i) => parseKmsgRecord(`3,${100 + i},${5000 + i},-;${text}\n SUBSYSTEM=scsi\n`)!);
}

const sd = (tag: number, text: string, hctl = '0:0:0:0', name = 'sda') =>
  `sd ${hctl}: [${name}] tag#${tag} ${text}`;

/** What sd logs of a command that failed with this sense; the space at the end is the kernel's. */
function failed(tag: number, key: string, additional: string, host = 'DID_OK'): string[] {
  return [
    sd(tag, `FAILED Result: hostbyte=${host} driverbyte=DRIVER_OK cmd_age=0s`),
    sd(tag, `Sense Key : ${key} [current] `),
    sd(tag, `Add. Sense: ${additional}`),
    sd(tag, 'CDB: Read(10) 28 20 00 00 00 08 00 00 08 00'),
  ];
}

const request = (sector: number, name = 'sda') =>
  `protection error, dev ${name}, sector ${sector} op 0x0:(READ) flags 0x800 phys_seg 1 prio class 2`;

const refusals = (texts: string[], disk = { diskName: 'sda' }) => explainRefusals(log(...texts), disk);

/** These refusals and no other. */
function matchAll(
  t: Test,
  found: readonly Refusal[],
  expected: readonly Partial<Refusal>[],
  name = '',
): void {
  t.equal(found.length, expected.length, name);
  t.match(found, expected, name);
}

t.test('one record of /dev/kmsg', async (t) => {
  t.same(
    parseKmsgRecord(
      '6,339,5140900,-;NET: Registered protocol family 10\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00\n',
    ),
    {
      facility: 0,
      level: 6,
      seq: 339,
      usec: 5140900,
      text: 'NET: Registered protocol family 10',
    },
  );
  t.match(parseKmsgRecord('30,1,2,c,caller=T1;systemd[1]: started; well \n'), {
    level: 6,
    text: 'systemd[1]: started; well',
  });
  for (const bad of ['', '\n', ' SUBSYSTEM=scsi', '6,339;text', 'x,1,2,-;text', '6,339,5140900,-']) {
    t.equal(parseKmsgRecord(bad), null, JSON.stringify(bad));
  }
});

t.test("the kernel's own verify", async (t) => {
  t.same(refusals(['sda: guard tag error at sector 8 (rcvd 19f6, want 7867)']), [
    {
      checker: 'kernel',
      check: 'guard',
      sector: 8n,
      unit: 'seed',
      stored: 0x19f6n,
      computed: 0x7867n,
      text: 'sda: guard tag error at sector 8 (rcvd 19f6, want 7867)',
      seq: 100,
      usec: 5000,
    },
  ]);
  matchAll(t, refusals(['sda: ref tag error at location 8 (rcvd 9)']), [
    { checker: 'kernel', check: 'ref', sector: 8n, unit: 'seed', stored: 9n, computed: null },
  ]);
  matchAll(
    t,
    refusals(['sda: guard tag error at sector 16 (rcvd ae8b14860a799888, want 1de60e2868a782e9)']),
    [{ stored: 0xae8b14860a799888n, computed: 0x1de60e2868a782e9n }],
  );
  // Linux 3.10.
  matchAll(
    t,
    refusals([
      'sda: guard tag error on sector 8 (rcvd 19f6, data 7867)',
      'sda: ref tag error on sector 8 (rcvd 9)',
    ]),
    [
      { check: 'guard', computed: 0x7867n },
      { check: 'ref', stored: 9n },
    ],
  );
});

t.test('a device, a host adapter', async (t) => {
  t.same(refusals([...failed(12, 'Aborted Command', 'Logical block guard check failed'), request(8)]), [
    {
      checker: 'device',
      check: 'guard',
      sector: 8n,
      unit: 'sector512',
      stored: null,
      computed: null,
      text: 'Aborted Command: Logical block guard check failed',
      seq: 104,
      usec: 5004,
    },
  ]);
  const cases: [string, string, string, Partial<Refusal>][] = [
    [
      'Aborted Command',
      'Logical block reference tag check failed',
      'DID_OK',
      { checker: 'device', check: 'ref' },
    ],
    [
      'Aborted Command',
      'Logical block application tag check failed',
      'DID_OK',
      { checker: 'device', check: 'app' },
    ],
    [
      'Aborted Command',
      'Logical block guard check failed',
      'DID_ABORT',
      { checker: 'device', check: 'guard' },
    ],
    ['Illegal Request', 'Logical block guard check failed', 'DID_ABORT', { checker: 'hba', check: 'guard' }],
    ['Illegal Request', 'Logical block guard check failed', 'DID_OK', { checker: 'device', check: 'guard' }],
    [
      'Illegal Request',
      'Logical block protection method error',
      'DID_ABORT',
      { checker: 'hba', check: 'protection' },
    ],
  ];
  for (const [key, additional, host, expected] of cases) {
    matchAll(
      t,
      refusals([...failed(0, key, additional, host), request(8)]),
      [expected],
      `${key}, ${additional}, ${host}`,
    );
  }
  const untagged = failed(0, 'Aborted Command', 'Logical block guard check failed').map((text) =>
    text.replace('tag#0 ', ''),
  );
  matchAll(
    t,
    refusals([...untagged, `blk_update_request: ${request(8)}`]),
    [{ checker: 'device', check: 'guard', sector: 8n }],
    'in the words of older kernels',
  );
});

// Captured on Debian's kernels: blocks of 33h, a faulty one of 5Ah. CRC-16: 512 x 33h b218, 5Ah 7867; 4096 x
// 33h 5562, 5Ah 9337.
const CAPTURED: readonly [string, Partial<Refusal>[]][] = [
  [
    'scsi_debug dif=1 dix=1 sector_size=512: a plain WRITE of LBA 10, then a read from LBA 8',
    [device('guard', 8n)],
  ],
  ['scsi_debug dif=1 dix=1 sector_size=512: a DIX error injected into a write of LBA 16', [hba(16n)]],
  ['quiet', []],
  [
    'scsi_debug dif=2 dix=1 sector_size=512: a plain WRITE of LBA 10, then a read from LBA 8',
    [kernel(10n, 0xb218n, 0x7867n)],
  ],
  ['scsi_debug dif=2 dix=1 sector_size=512: a DIX error injected into a write of LBA 16', [hba(16n)]],
  ['quiet', []],
  [
    'scsi_debug dif=3 dix=1 sector_size=512: a plain WRITE of LBA 10, then a read from LBA 8',
    [device('guard', 8n)],
  ],
  ['scsi_debug dif=3 dix=1 sector_size=512: a DIX error injected into a write of LBA 16', [hba(16n)]],
  ['quiet', []],
  [
    'scsi_debug dif=0 dix=1 sector_size=512: a plain WRITE of LBA 10, then a read from LBA 8',
    [kernel(10n, 0xb218n, 0x7867n)],
  ],
  ['scsi_debug dif=0 dix=1 sector_size=512: a DIX error injected into a write of LBA 16', [hba(16n)]],
  ['quiet', []],
  // Sectors of 512 bytes, and the seed: 8 * 8 + 2.
  [
    'scsi_debug dif=1 dix=1 sector_size=4096: a plain WRITE of LBA 10, then a read from LBA 8',
    [device('guard', 64n)],
  ],
  ['scsi_debug dif=1 dix=1 sector_size=4096: a DIX error injected into a write of LBA 16', [hba(128n)]],
  ['quiet', []],
  [
    'scsi_debug dif=0 dix=1 sector_size=4096: a plain WRITE of LBA 10, then a read from LBA 8',
    [kernel(66n, 0x5562n, 0x9337n)],
  ],
  ['scsi_debug dif=0 dix=1 sector_size=4096: a DIX error injected into a write of LBA 16', [hba(128n)]],
  ['quiet', []],
  ['scsi_debug dif=1 dix=0 sector_size=512: a plain WRITE of LBA 10, then a read from LBA 8', []],
  ['scsi_debug dif=1 dix=0 sector_size=512: a DIX error injected into a write of LBA 16', [hba(16n)]],
  ['quiet', []],
  // LIO names the block itself.
  ['LIO pi_prot_verify=1: guard of LBA 10 edited', [device('guard', 10n)]],
  ['LIO pi_prot_verify=1: reference tag of LBA 20 edited', [device('ref', 20n)]],
  ['LIO pi_prot_verify=0: guard of LBA 10 edited', [kernel(10n, 0x0101n, 0xb218n)]],
  [
    'LIO pi_prot_verify=0: reference tag of LBA 20 edited',
    [{ checker: 'kernel', check: 'ref', sector: 20n, unit: 'seed', stored: 1n, computed: null }],
  ],
  ['end', []],
];

function device(check: 'guard' | 'ref', sector: bigint): Partial<Refusal> {
  return { checker: 'device', check, sector, unit: 'sector512' };
}

function hba(sector: bigint): Partial<Refusal> {
  return { checker: 'hba', check: 'guard', sector, unit: 'sector512' };
}

function kernel(sector: bigint, stored: bigint, computed: bigint): Partial<Refusal> {
  return { checker: 'kernel', check: 'guard', sector, unit: 'seed', stored, computed };
}

t.test('what others than the kernel write into its log is no witness', async (t) => {
  const line = 'sda: guard tag error at sector 8 (rcvd 0001, want 0002)';
  const record = (priority: number) => [parseKmsgRecord(`${priority},1,1,-;${line}`)!];
  t.equal(explainRefusals(record(3), { diskName: 'sda' }).length, 1);
  t.same(explainRefusals(record(8 + 3), { diskName: 'sda' }), []);
});

for (const release of ['6.1', '7.3']) {
  t.test(`what Linux ${release} logged`, async (t) => {
    const text = readFileSync(new URL(`../fixtures/sysfs/kmsg-${release}.txt`, import.meta.url), 'utf8');
    const sections: { name: string; records: KernelLogRecord[] }[] = [];
    for (const line of text.split(/\n(?! )/)) {
      const record = parseKmsgRecord(line);
      const [, mark] = /^MARK (.*)/.exec(record?.text ?? '') ?? [];
      if (mark !== undefined) sections.push({ name: mark, records: [] });
      else if (record) sections.at(-1)!.records.push(record);
    }
    t.same(
      sections.map(({ name }) => name),
      CAPTURED.map(([name]) => name),
    );
    sections.forEach(({ name, records }, i) => {
      matchAll(t, explainRefusals(records, { diskName: 'sda' }), CAPTURED[i]![1], name);
    });
  });
}

t.test('several commands, and lines that were lost', async (t) => {
  const guard = (tag: number) => failed(tag, 'Aborted Command', 'Logical block guard check failed');
  matchAll(t, refusals([...guard(1), request(8), ...guard(1), request(16)]), [
    { checker: 'device', sector: 8n, seq: 104 },
    { checker: 'device', sector: 16n, seq: 109 },
  ]);
  const [a, b] = [
    guard(1),
    failed(2, 'Illegal Request', 'Logical block reference tag check failed', 'DID_ABORT'),
  ];
  matchAll(
    t,
    refusals([...a.flatMap((text, i) => [text, b[i]!]), request(16), request(8)]),
    [
      { checker: 'hba', check: 'ref', sector: 16n },
      { checker: 'device', check: 'guard', sector: 8n },
    ],
    'two commands whose lines are mixed',
  );
  matchAll(t, refusals([request(8)]), [
    { checker: 'kernel-or-device', check: 'protection', sector: 8n, text: request(8) },
  ]);
  matchAll(t, refusals(guard(1)), [{ checker: 'device', check: 'guard', sector: null, seq: 102 }]);
  matchAll(t, refusals([...guard(1), ...guard(1), request(8)]), [{ sector: null }, { sector: 8n }]);
  const withoutKey = guard(1).filter((text) => !text.includes('Sense Key'));
  matchAll(t, refusals([...withoutKey, request(8)]), [
    { checker: 'kernel-or-device', check: 'guard', sector: 8n },
  ]);
});

t.test('what is no refusal of this disk', async (t) => {
  t.same(
    refusals([
      ...failed(1, 'Medium Error', 'Unrecovered read error'),
      'critical medium error, dev sda, sector 8',
    ]),
    [],
  );
  t.same(
    refusals([...failed(1, 'Aborted Command', 'constructor'), 'EXT4-fs error (device sda): sector 8']),
    [],
  );
  t.same(refusals([request(8, 'sdb'), 'sdb: guard tag error at sector 8 (rcvd 19f6, want 7867)']), []);
  matchAll(
    t,
    refusals([...failed(1, 'Medium Error', 'Unrecovered read error'), request(8)]),
    [{ checker: 'kernel-or-device', check: 'protection' }],
    'sense of another kind does not explain a protection error',
  );
  const other = failed(1, 'Aborted Command', 'Logical block guard check failed').map((text) =>
    text.replace('0:0:0:0', '7:0:0:0'),
  );
  matchAll(t, refusals(other), [{ checker: 'device' }]);
  t.same(
    explainRefusals(log(...other), { diskName: 'sda', hctl: '0:0:0:0' }),
    [],
    'an earlier disk of that name',
  );
});

t.test('no log crashes', async (t) => {
  const piece = fc.constantFrom(
    ...failed(1, 'Aborted Command', 'Logical block guard check failed'),
    ...failed(2, 'Illegal Request', 'Logical block reference tag check failed', 'DID_ABORT'),
    request(8),
    'sda: ref tag error at location 8 (rcvd 9)',
    'sda: guard tag error at sector 8 (rcvd , want )',
  );
  const texts = fc.array(fc.oneof(piece, fc.string()), { maxLength: 30 });
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(texts, (lines) => {
        const records = lines.flatMap((text, i) => parseKmsgRecord(`3,${i},${i},-;${text}`) ?? []);
        const found = explainRefusals(records, { diskName: 'sda' });
        const seqs = found.map(({ seq }) => seq);
        return found.length <= lines.length && seqs.every((seq, i) => i === 0 || seq >= seqs[i - 1]!);
      }),
      { numRuns: 500 },
    ),
  );
});
