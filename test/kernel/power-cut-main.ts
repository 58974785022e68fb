/**
 * One boot of a machine whose power is cut: `power-cut-main.js RUN RUNS` in a guest with the drives of power-cut.ts. Run 0 makes the disks
 * and their file systems; each then restores by the journal that it finds, tells what the image files hold, and is cut in a run of the
 * command. The last only looks.
 */
import './guest-only.js';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
// No more of the package than it takes: an emulated processor takes long to load a module.
import { openDevice } from '../../lib/device/disk.js';
import { recover } from '../../lib/device/safeguard/recover.js';
import { EmulatedDisk } from '../../lib/testbed/disk/emulated-disk.js';
import { fillDisk } from '../../lib/testbed/fill.js';
import { exportFileio, tuplesFile } from '../../lib/testbed/lio-fileio.js';
import { waitFor } from '../../lib/testbed/wait.js';
import { command } from './command.js';
import { crash, crashPoint, NEVER, WHENS } from './crash.js';
import { CACHES, type Cut, DRIVES, type Found, type Told } from './power-cut.js';
import { Undo } from './undo.js';

const [run = 0, runs = 0] = process.argv.slice(2).map(Number);

const DISKS = '/run/disks';
const JOURNALS = '/run/journals';
const JOURNAL = join(JOURNALS, 'one.journal');
/** Write points of each verb. */
const POINTS = join(JOURNALS, 'points');
const EMULATED = join(DISKS, 'emulated');
const LIO = join(DISKS, 'lio');
const IMAGES = [EMULATED, LIO, tuplesFile(LIO)];

/** Not the testbed's by its INQUIRY: the safeguard asks for all that it asks of other people's disks. */
const THEIRS = { vendor: 'ACME', product: 'DIF DISK' };
const LIO_ID = '0123456789';
const SCAN_MS = 20_000;

const tell = (told: Told) => console.log(JSON.stringify(told));

await using undo = new Undo();
/** The verbs take turns, and each comes to every moment of a cut with every cache. */
const VERBS = 3;
const turn = run % VERBS;
const round = Math.floor(run / VERBS);
const cache = CACHES[(turn + Math.floor(round / WHENS.length)) % CACHES.length]!;
await mountDrives();
if (run === 0) await makeEmulated();
const verbs = await attach();
if (run === 0) {
  const points: Record<string, number> = {};
  for (const [name, verb] of Object.entries(verbs))
    points[name] = Number((await crash(verb, JOURNAL, NEVER)).said);
  await writeFile(POINTS, JSON.stringify(points));
  await command('sync');
}
tell({ found: await look() });
if (run < runs) {
  const cut = await nextCut();
  tell({ cut });
  await crash(verbs[cut.verb]!, JOURNAL, { ...cut, by: 'reset' });
}

async function mountDrives(): Promise<void> {
  await command('modprobe', 'nvme');
  const [disks, journals] = (await waitFor(drives, SCAN_MS)) ?? [];
  if (disks === undefined || journals === undefined) throw new Error('the guest has no such drives');
  if (cache === 'some') {
    for (const name of ['dirty_expire_centisecs', 'dirty_writeback_centisecs'])
      await writeFile(`/proc/sys/vm/${name}`, '1');
  }
  for (const [device, folder, options] of [
    [disks, DISKS, cache === 'through' ? 'sync' : 'async'],
    [journals, JOURNALS, 'async'],
  ] as const) {
    if (run === 0) await command('mkfs.ext4', '-q', device);
    await mkdir(folder, { recursive: true });
    await command('mount', '-o', options, device, folder);
    undo.push(() => command('umount', folder));
  }
}

/** In the order of their NSIDs; the kernel names them in the order of its scan. */
async function drives(): Promise<string[] | null> {
  const names = (await readdir('/sys/block')).filter((name) => name.startsWith('nvme'));
  if (names.length < DRIVES.length) return null;
  const nsids = await Promise.all(names.map((name) => readFile(`/sys/block/${name}/nsid`, 'utf8')));
  return DRIVES.map((_, i) => `/dev/${names[nsids.findIndex((nsid) => Number(nsid) === i + 1)]}`);
}

async function makeEmulated(): Promise<void> {
  await using emulated = await EmulatedDisk.create({ file: EMULATED, type: 1, blocks: 2048 });
  await using disk = await emulated.open();
  await fillDisk(disk);
}

/** Attaches the disks, and says what is run on them. */
async function attach(): Promise<Readonly<Record<string, readonly string[]>>> {
  const emulated = undo.use(await EmulatedDisk.create({ file: EMULATED, inquiry: THEIRS }));
  const { sg } = undo.use(await emulated.attach());
  if (run === 0) {
    await writeFile(LIO, '');
    await truncate(LIO, 1024 * 1024);
  }
  const { device } = await exportFileio(
    LIO,
    { id: LIO_ID, type: 1, blockSize: 512, format: run === 0 },
    undo,
  );
  if (run === 0) {
    await using disk = await openDevice(device);
    await fillDisk(disk);
  }
  const range = ['--lba', '1000', '--blocks', '40'];
  const theirs = ['--i-own', emulated.identity.serial];
  return {
    'prove emulated': ['prove', sg, '--lba', '1003', ...theirs],
    'crosscheck emulated': ['crosscheck', sg, '--write', ...range, ...theirs],
    'crosscheck lio': ['crosscheck', device, '--write', ...range],
  };
}

async function look(): Promise<Found> {
  const left = await digests();
  const journal = existsSync(JOURNAL)
    ? await recover(JOURNAL).then(
        ({ outcome }) => outcome,
        (error: Error) => error.message,
      )
    : null;
  return { journal, left, images: await digests() };
}

async function digests(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const path of IMAGES) {
    const bytes = await readFile(path);
    found[path] = createHash('sha256').update(bytes).digest('hex');
  }
  return found;
}

async function nextCut(): Promise<Cut> {
  const all = Object.entries(JSON.parse(await readFile(POINTS, 'utf8')) as Record<string, number>);
  const [verb, points] = all[turn]!;
  const { at } = crashPoint(round, Math.ceil(runs / VERBS), points);
  // Once through all of its write points, each has another moment.
  const when = WHENS[(turn + round + Math.floor(round / points)) % WHENS.length]!;
  return { verb, points, at, when, cache };
}
