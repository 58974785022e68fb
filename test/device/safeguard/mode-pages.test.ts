/** Mode pages of a disk that changes all bits of its Control page, rounds them, or does not tell them at once. */
import t, { type Test } from 'tap';
import { openInProcess } from '../../../src/device/in-process.js';
import { ChangedModePages } from '../../../src/device/safeguard/changed-mode-pages.js';
import { claimRegion } from '../../../src/device/safeguard/claim.js';
import { EmulatedDisk } from '../../../src/testbed/disk/emulated-disk.js';
import { InProcessNode } from '../../../src/testbed/disk/in-process.js';
import { fillDisk } from '../../../src/testbed/fill.js';

const [MODE_SELECT, MODE_SENSE] = [0x55, 0x5a];
const NOTHING = new Uint8Array(0);
const GOOD = { status: 0, sense: NOTHING, dataIn: NOTHING, afterMs: 0 };
const BUSY = { ...GOOD, status: 0x08 };
const PAGE = Uint8Array.from([0x0a, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

/** `busy`: MODE SENSE is refused so often after each MODE SELECT. `rounds` changes what is set. */
async function subject(t: Test, busy = 0, rounds = (page: Uint8Array) => page) {
  const emulated = await EmulatedDisk.create({ blocks: 256, type: 1 });
  t.teardown(() => emulated.close());
  const state: { page: Uint8Array; refusals: number } = { page: PAGE, refusals: 0 };
  const { unit } = emulated;
  const node = new InProcessNode({
    execute(task) {
      if (task.cdb[0] === MODE_SELECT) {
        state.page = rounds(Uint8Array.from(task.dataOut.subarray(8)));
        state.refusals = busy;
        return GOOD;
      }
      if (task.cdb[0] !== MODE_SENSE || (task.cdb[2]! & 0x3f) !== 0x0a || task.cdb[3] !== 0)
        return unit.execute(task);
      if (state.refusals-- > 0) return BUSY;
      const page = task.cdb[2]! >> 6 === 1 ? new Uint8Array(12).fill(0xff).fill(0x0a, 0, 2) : state.page;
      return {
        ...GOOD,
        dataIn: Uint8Array.from([0, 18, 0, 0, 0, 0, 0, 0, ...page]).subarray(0, task.dataInMax),
      };
    },
  });
  const disk = await openInProcess(emulated.identity.serial, node);
  await fillDisk(disk);
  return { disk, state };
}

t.test('a page that the disk rounds, and does not tell at once, is put back', async (t) => {
  const { disk, state } = await subject(t, 6, (page) => (page[5] === 0x80 ? page.with(9, 1) : page));
  {
    await using region = await claimRegion(disk, { lba: 100n, blocks: 4 });
    t.match(await region.selectModePage(PAGE.with(5, 0x80)), { outcome: { kind: 'good' } });
    t.equal(state.page[9], 1, 'rounded');
  }
  t.same(state.page, PAGE);
});

t.test('a unit attention that stays is not set', async (t) => {
  const { disk, state } = await subject(t);
  await using region = await claimRegion(disk, { lba: 100n, blocks: 4 });
  for (const byte of [0x20, 0x30]) {
    const refused = { code: 'ERR_USAGE', message: /UA_INTLCK_CTRL/ };
    await t.rejects(region.selectModePage(PAGE.with(4, byte)), refused);
  }
  t.same(state.page, PAGE);
  t.match(await region.selectModePage(PAGE.with(4, 0x10)), { outcome: { kind: 'good' } });
  const pages = new ChangedModePages(disk, disk.transport!);
  state.page = PAGE.with(4, 0x20);
  t.match(await pages.plan(PAGE.with(4, 0x28)), { page: 0x0a }, 'one that is set already stays');
  state.page = PAGE;
});
