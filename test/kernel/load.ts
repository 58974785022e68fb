/**
 * Mixed I/O at queue depth 32 with faults: nothing hangs, and every command is accounted for.
 *
 * EMULATED_DISK_LOAD_S: for so long, 30 without.
 */
import { constants } from 'node:fs';
import { alignedBuffer, defaultEngine, EmulatedDisk, encodeCdb, profileByName } from 'blk-integrity';
import type { Test } from 'tap';
import { native } from '../../lib/binding.js';
import { Random } from './random.js';

const DEPTH = 32;
const BLOCKS = 65536;
const DID_TIME_OUT = 3;
const RIGHT = {
  profile: profileByName('T10-DIF-TYPE1-CRC'),
  layout: 'interleaved',
  type3Ref: 'zero',
} as const;

export async function load(t: Test): Promise<void> {
  const seconds = Number(process.env['EMULATED_DISK_LOAD_S'] ?? 30);
  const disk = await EmulatedDisk.create({ type: 1, blocks: BLOCKS, randomSeed: 5 });
  await using attached = await disk.attach();
  disk.addFault({ kind: 'guard', on: 'read', oneIn: 20 });
  disk.addFault({ kind: 'ref', on: 'write', place: 'wire', oneIn: 30 });
  disk.addFault({ kind: 'busy', oneIn: 50 });
  disk.addFault({ kind: 'medium-error', oneIn: 50 });
  disk.addFault({ kind: 'delay', oneIn: 40, delayMs: 30 });
  const before = disk.stats();
  const byStatus: Record<number, number> = {};
  let sent = 0;
  let longest = 0;
  const end = performance.now() + seconds * 1000;
  const heap = process.memoryUsage().rss;
  const one = async (seed: number) => {
    const random = new Random(seed);
    const handle = new (native().Handle)();
    await handle.open(attached.sg, constants.O_RDWR);
    const buffer = alignedBuffer(64 * 520);
    while (performance.now() < end) {
      const blocks = random.between(1, 64);
      const fields = { lba: BigInt(random.below(BLOCKS - blocks)), blocks };
      const writes = random.chance(2);
      const cdb = encodeCdb(writes ? 'WRITE(16)' : 'READ(16)', { ...fields, protect: 1 });
      const data = buffer.subarray(0, blocks * 520);
      if (writes) defaultEngine().generateInto(data, null, { ...RIGHT, seed: fields.lba });
      const start = performance.now();
      const answer = await handle.sgIo({
        cdb,
        direction: writes ? 'to-device' : 'from-device',
        data,
        timeoutMs: 20_000,
      });
      longest = Math.max(longest, performance.now() - start);
      if (answer.errno !== 0 || answer.hostStatus === DID_TIME_OUT) throw new Error(JSON.stringify(answer));
      sent++;
      byStatus[answer.status] = (byStatus[answer.status] ?? 0) + 1;
    }
    await handle.close();
  };
  await Promise.all(Array.from({ length: DEPTH }, (_, k) => one(k + 1)));
  const after = disk.stats();
  const counted = (name: string) => (after.byStatus[name] ?? 0) - (before.byStatus[name] ?? 0);
  // The kernel tries a command that was answered BUSY again, and nobody else hears of it.
  const busy = counted('08h');
  t.equal(
    after.commands - before.commands,
    sent + busy,
    'every command that was sent was executed once, and once for each BUSY',
  );
  t.same(Object.keys(byStatus).sort(), ['0', '2']);
  t.equal(counted('00h'), byStatus[0], `GOOD: ${byStatus[0]}`);
  t.equal(counted('02h'), byStatus[2], `CHECK CONDITION: ${byStatus[2]}`);
  t.ok(busy > 0, `BUSY: ${busy}`);
  for (const sense of ['0Bh/10h/01h', '0Bh/10h/03h', '03h/11h/00h']) {
    t.ok((after.bySense[sense] ?? 0) > 0, `${sense}: ${after.bySense[sense]}`);
  }
  const { received, completed, inFlight } = attached.stats();
  t.same({ completed, inFlight }, { completed: received, inFlight: 0 });
  const grown = (process.memoryUsage().rss - heap) / 2 ** 20;
  // The blocks themselves take 33 MiB.
  t.ok(grown < 120, `${grown.toFixed(0)} MiB more`);
  t.comment(
    `${sent} commands in ${seconds} s, the longest ${longest.toFixed(0)} ms, ${grown.toFixed(0)} MiB more`,
  );
}
