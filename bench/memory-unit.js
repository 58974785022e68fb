/**
 * A SCSI disk of type 1, whose READ commands are answered from memory, with tuples or without, and cost nothing but the copy: what reads it is
 * measured, and no disk's own work. Everything else the emulated T10 disk answers. It is served by this process, prints its sg node, and goes when
 * standard input ends:
 *
 *   node bench/memory-unit.js MIB [MILLISECONDS that each READ takes]
 */
import { randomFillSync } from 'node:crypto';
import { attachLogicalUnit, EmulatedDisk, nativeEngine, pinnedBuffer, profileByName } from 'blk-integrity';

const BLOCK = 512;
const STRIDE = BLOCK + 8;
const NOTHING = new Uint8Array(0);
/** LBA and blocks of READ(10) and READ(16). */
const READS = {
  40: (cdb) => [cdb.getUint32(2), cdb.getUint16(7)],
  136: (cdb) => [Number(cdb.getBigUint64(2)), cdb.getUint32(10)],
};

const [mib, readMs = 0] = process.argv.slice(2).map(Number);
const blocks = (mib * 2 ** 20) / BLOCK;
const plain = randomFillSync(pinnedBuffer(blocks * BLOCK));
const interleaved = pinnedBuffer(blocks * STRIDE);
const profile = profileByName('T10-DIF-TYPE1-CRC');
nativeEngine.insert(plain, interleaved, { profile, layout: 'interleaved', seed: 0n });

const disk = await EmulatedDisk.create({ type: 1, blocks });
const unit = {
  execute(task) {
    const { cdb, dataInMax } = task;
    const rangeOf = READS[cdb[0]];
    if (rangeOf === undefined) return disk.unit.execute(task);
    const [lba, count] = rangeOf(new DataView(cdb.buffer, cdb.byteOffset, cdb.byteLength));
    const rdprotect = cdb[1] >> 5;
    const [medium, stride] = rdprotect === 0 ? [plain, BLOCK] : [interleaved, STRIDE];
    const dataIn = medium.subarray(lba * stride, lba * stride + Math.min(count * stride, dataInMax));
    return { status: 0, sense: NOTHING, dataIn, afterMs: readMs };
  },
};
// sd would take the protection over, and TCMU does not carry its tuples.
disk.concealProtection(true);
const attached = await attachLogicalUnit(unit, {
  name: 'memory',
  sizeBytes: BigInt(blocks * BLOCK),
  blockSize: BLOCK,
  sd: false,
  onAttached: () => disk.concealProtection(false),
}).catch(({ message }) => {
  console.error(message);
  process.exit(1);
});
console.log(attached.sg);
for await (const _ of process.stdin);
await attached[Symbol.asyncDispose]();
await disk.close();
