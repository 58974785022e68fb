import { randomFillSync } from 'node:crypto';
import t from 'tap';
import { readBlocks } from '../../src/check/read.js';
import { planRead } from '../../src/check/read-plan.js';
import { planWrite, type WriteRequest, writeBlocks } from '../../src/check/write.js';
import type { Disk } from '../../src/device/disk.js';
import { tuplesFor } from '../../src/device/protected-range.js';
import type { ReadReport, WriteVerbReport } from '../../src/report/model.js';
import { EmulatedDisk, type EmulatedDiskOptions } from '../../src/testbed/disk/emulated-disk.js';

const LBA = 1000n;

interface Subject {
  readonly emulated: EmulatedDisk;
  readonly disk: Disk;
}

type Content = { readonly data?: Uint8Array; readonly tuples?: Uint8Array };

async function write(
  { disk }: Subject,
  request: Partial<WriteRequest>,
  { data = random(disk, request.blocks), tuples }: Content = {},
  signal?: AbortSignal,
): Promise<WriteVerbReport> {
  const all = { lba: LBA, blocks: 4, ...request, tuples: tuples !== undefined };
  return writeBlocks(
    disk,
    await planWrite(disk, all),
    { data, tuples: tuples ?? null },
    signal ? { signal } : {},
  );
}

const random = ({ blockSize }: Disk, blocks = 4) => randomFillSync(new Uint8Array(blocks * blockSize));

async function look({ disk }: Subject, blocks = 4, lba = LBA): Promise<ReadReport> {
  return readBlocks(disk, await planRead(disk, { lba, blocks, protect: 3 }));
}

const hexOf = (data: Uint8Array) => Buffer.from(data).toString('hex');
const right = ({ blockSize, diskProfile }: Disk, data: Uint8Array) =>
  tuplesFor({ profile: diskProfile!, blockSize, lba: LBA }, data);

async function on(options: EmulatedDiskOptions, job: (subject: Subject) => Promise<void>): Promise<void> {
  await using emulated = await EmulatedDisk.create({ blocks: 4096, ...options });
  await using disk = await emulated.open();
  await job({ emulated, disk });
}

t.test('data under tuples that the software makes, more than one transfer', async (t) => {
  for (const options of [
    { type: 1 },
    { type: 2, blockSize: 4096, intervalExponent: 3 },
    { type: 3 },
  ] as const) {
    await on(options, async (subject) => {
      const { disk } = subject;
      const blocks = disk.transferBlocksMax + 3;
      const data = random(disk, blocks);
      const report = await write(subject, { blocks, appTag: 0x1234 }, { data });
      t.match(report, {
        path: 'passthrough',
        command: { name: `WRITE(${options.type === 2 ? 32 : 16})`, protect: 1 },
        tuples: 'software',
        compared: 'data and tuples',
        kept: true,
        restored: null,
        findings: [],
      });
      const now = await look(subject, blocks);
      t.equal(now.data, hexOf(data.subarray(0, 4096)), 'it stays');
      t.same(now.findings, []);
      t.ok(now.tuples.every(({ verdict, stored }) => verdict === 'ok' && stored.app === 0x1234));
      t.equal(now.tuples.length, (blocks * disk.blockSize) / disk.diskProfile!.interval);
    });
  }
});

t.test("the caller's tuples: refused when they are wrong, or stored unchecked", async (t) => {
  await on({}, async (subject) => {
    const { disk } = subject;
    const before = await look(subject);
    const data = random(disk);
    const tuples = right(disk, data);
    tuples[8]! ^= 0x80;
    const refused = await write(subject, {}, { data, tuples });
    t.match(refused, {
      tuples: 'caller',
      kept: false,
      restored: 'exact',
      findings: [{ kind: 'refused', checker: 'device', check: 'guard', text: /LBA 1001/ }],
    });
    t.same(await look(subject), before);
    const stored = await write(subject, { protect: 3 }, { data, tuples });
    t.match(stored, { command: { protect: 3 }, compared: 'data and tuples', kept: true, findings: [] });
    const now = await look(subject);
    t.equal(now.data, hexOf(data));
    t.same(
      now.tuples.map(({ verdict }) => verdict),
      ['ok', 'guard', 'ok', 'ok'],
    );
  });
});

t.test('all of it is written, or nothing', async (t) => {
  await on({}, async (subject) => {
    const { disk, emulated } = subject;
    const blocks = 2 * disk.transferBlocksMax;
    const last = LBA + BigInt(blocks - 1);
    const before = await look(subject, blocks);
    const fault = emulated.addFault({ kind: 'write-error', lba: last, blocks: 1n, times: 1 });
    const failed = await write(subject, { blocks });
    t.match(failed, {
      kept: false,
      restored: 'exact',
      findings: [{ kind: 'write-error', text: /03h\/0Ch/ }],
    });
    t.throws(() => emulated.removeFault(fault.id), 'it struck');
    t.same(await look(subject, blocks), before);
    // GOOD, and only half of it is there.
    emulated.addFault({ kind: 'torn', lba: last, blocks: 1n, times: 1 });
    const torn = await write(subject, { blocks });
    t.match(torn, {
      kept: false,
      findings: [{ kind: 'write-differs', text: /does not hold what was written/ }],
    });
    t.same(await look(subject, blocks), before);
    const controller = new AbortController();
    await using other = await emulated.open({
      onCommand: ({ command }) => command.direction === 'to-device' && controller.abort(),
    });
    await t.rejects(write({ emulated, disk: other }, { blocks }, {}, controller.signal), {
      name: 'AbortError',
    });
    t.same(await look(subject, blocks), before, 'interrupted after the first of two');
  });
});

t.test('data alone: whose the tuples are is said', async (t) => {
  await on({}, async (subject) => {
    const data = random(subject.disk);
    const report = await write(subject, { protect: 0 }, { data });
    t.match(report, {
      command: { name: 'WRITE(16)', protect: 0 },
      tuples: 'disk',
      compared: 'data',
      kept: true,
    });
    t.equal((await look(subject)).data, hexOf(data));
  });
  await on({ preset: 'scsi-debug' }, async (subject) => {
    t.match(await write(subject, {}), { command: { protect: 0 }, tuples: 'disk', kept: true });
  });
  await on({ type: 0 }, async (subject) => {
    t.match(await write(subject, {}), {
      command: { protect: 0 },
      tuples: 'none',
      compared: 'data',
      kept: true,
    });
  });
});

t.test('what cannot be sent is refused before anything is written', async (t) => {
  const bytes = (length: number) => new Uint8Array(length);
  await on({}, async (subject) => {
    const tuples = bytes(32);
    const cases: [Partial<WriteRequest>, Content, string, RegExp][] = [
      [{}, { data: bytes(2047) }, 'ERR_BAD_LENGTH', /data: 2047 bytes for 4 blocks: 2048 needed/],
      [{}, { data: bytes(2560) }, 'ERR_BAD_LENGTH', /2560 bytes/],
      [{}, { tuples: bytes(31) }, 'ERR_BAD_LENGTH', /tuples: 31 bytes for 4 blocks: 32 needed/],
      [{ lba: 4095n }, {}, 'ERR_OUT_OF_RANGE', /not all on the disk/],
      [{ protect: 2 }, {}, 'ERR_USAGE', /WRPROTECT 2 is not written/],
      [{ protect: 0 }, { tuples }, 'ERR_USAGE', /WRPROTECT 0 takes no tuples/],
      [{ protect: 0, appTag: 1 }, {}, 'ERR_USAGE', /application tag/],
      [{ appTag: 1 }, { tuples }, 'ERR_USAGE', /application tag/],
      [{ path: 'block', protect: 1 }, {}, 'ERR_USAGE', /no WRPROTECT/],
      [{ path: 'block' }, {}, 'ERR_NO_PATH', /no path block/],
      [{ path: 'block-pi' }, { tuples }, 'ERR_NO_PATH', /the block layer has no integrity profile/],
    ];
    for (const [request, content, code, message] of cases)
      await t.rejects(write(subject, request, content), { code, message });
    t.equal(subject.emulated.stats().blocksWritten, 0);
  });
  await on({ preset: 'scsi-debug' }, async (subject) => {
    for (const protect of [undefined, 1, 3]) {
      await t.rejects(write(subject, { protect }, { tuples: bytes(32) }), {
        code: 'ERR_NO_PATH',
        message: /accepts RDPROTECT, transfers no tuples/,
      });
    }
    t.equal(subject.emulated.stats().blocksWritten, 0, 'no proof, no tuples');
  });
  await on({ blocks: 2 ** 20 }, async ({ disk }) => {
    const large = planWrite(disk, { lba: 0n, blocks: 2 ** 20, tuples: false });
    await t.rejects(large, { code: 'ERR_OUT_OF_RANGE', message: /larger than/ }, 'before its bytes are read');
  });
  await on({ type: 0 }, async (subject) => {
    const refused = write(subject, {}, { tuples: bytes(32) });
    await t.rejects(refused, { code: 'ERR_NO_PATH', message: /formatted without protection/ });
  });
});
