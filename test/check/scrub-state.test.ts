import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import files from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import t from 'tap';
import { native } from '../../src/binding.js';
import { type ScrubOptions, scrub } from '../../src/check/scrub.js';
import { ERRNO } from '../../src/device/errno.js';
import type { ScrubFinding, ScrubReport } from '../../src/report/model.js';
import { FilledDisk } from '../support/filled-disk.js';

const BLOCKS = 8192;
const dir = t.testdir();
let names = 0;
const newFile = () => join(dir, `state-${names++}`);

const flipGuard = (block: Uint8Array) => {
  block[512]! ^= 0x01;
};

async function subject(): Promise<FilledDisk> {
  const made = await FilledDisk.make({ blocks: BLOCKS });
  for (const lba of [100, 101, 3000, 5000, 8000]) await made.change(lba, flipGuard);
  return made;
}

/** Scrubs until so many blocks are done, and gives up. */
function until(filled: FilledDisk, blocks: number, options: ScrubOptions): Promise<ScrubReport> {
  const controller = new AbortController();
  const onProgress = ({ done }: { readonly done: number }) => {
    if (done >= blocks) controller.abort();
  };
  return scrub(filled.disk, { ...options, signal: controller.signal, onProgress });
}

const timeless = ({ seconds: _, bytesPerSecond: __, ...report }: ScrubReport) => report;

t.test('a scrub goes on where it was, and says the same in the end', async (t) => {
  await using filled = await subject();
  const whole = await scrub(filled.disk);
  t.equal(whole.findings.length, 4);
  const state = newFile();
  const first = await until(filled, 2500, { state });
  t.match(first, { ended: 'interrupted', resumed: false });
  const second = await until(filled, 6000, { state });
  t.match(second, { ended: 'interrupted', resumed: true });
  t.ok(second.done > first.done);
  const told: number[] = [];
  const last = await scrub(filled.disk, { state, onFinding: ({ lba }) => void told.push(lba) });
  t.match(last, { ended: 'finished', resumed: true });
  t.same(timeless({ ...last, resumed: false }), timeless(whole));
  t.same(told, [8000], 'what was found before is not told again');
  t.notOk(readdirSync(dir).length, 'a finished scrub leaves nothing');
});

t.test(
  'wherever it is interrupted, and however often: in the end the report of one that was not',
  async (t) => {
    const [transfers, transfer] = [5, 455];
    const flips = { guard: 512, ref: 519, refToo: 518 };
    // Bad blocks around the ends of transfers, where a scrub can end.
    const spoilt = fc.record({
      at: fc.integer({ min: 0, max: transfers }),
      before: fc.integer({ min: 0, max: 2 }),
      behind: fc.integer({ min: 0, max: transfer + 1 }).map((n) => (n > 3 ? transfer + 1 : n)),
      flip: fc.constantFrom(...Object.values(flips)),
    });
    const cases = {
      bad: fc.array(spoilt, { minLength: 1, maxLength: 4 }),
      stops: fc.array(fc.integer({ min: 1, max: transfers }), { maxLength: transfers }),
      queueDepth: fc.integer({ min: 1, max: 3 }),
    };
    const property = fc.asyncProperty(fc.record(cases), async ({ bad, stops, queueDepth }) => {
      await using filled = await FilledDisk.make({ blocks: transfers * transfer }, { queueDepth });
      t.equal(filled.disk.transferBlocksMax, transfer);
      for (const { at, before, behind, flip } of bad) {
        const [from, end] = [at * transfer - before, at * transfer + behind];
        for (let lba = Math.max(0, from); lba < Math.min(end, transfers * transfer); lba++)
          await filled.change(lba, (block) => {
            block[flip]! ^= 1;
          });
      }
      const whole = await scrub(filled.disk);
      const state = newFile();
      const told = new Map<number, ScrubFinding>();
      const onFinding = (finding: ScrubFinding) => void told.set(finding.lba, finding);
      for (const stop of stops) await until(filled, stop * transfer, { state, onFinding });
      const last = await scrub(filled.disk, { state, onFinding });
      t.same(timeless({ ...last, resumed: false }), timeless(whole));
      t.same([...told.values()], whole.findings);
    });
    await fc.assert(property, { numRuns: 25 });
  },
);

t.test('a crash: what the file says is done, and what is half written is not looked at', async (t) => {
  await using filled = await subject();
  const whole = timeless(await scrub(filled.disk));
  for (const after of [0, 1000, 4000]) {
    const state = newFile();
    await until(filled, after, { state });
    // A crash between two states: the next one was being written.
    writeFileSync(`${state}.new`, '{"file":"blk-integ');
    const resumed = await scrub(filled.disk, { state });
    t.same(timeless({ ...resumed, resumed: false }), whole, `${after}`);
  }
});

t.test('a state of another scrub is refused, and left as it is', async (t) => {
  await using filled = await subject();
  const state = newFile();
  await until(filled, 1000, { state });
  const kept = readFileSync(state, 'utf8');
  await using other = await subject();
  const range = { lba: 8n, blocks: 4096 };
  for (const [what, disk, options] of [
    ['another disk', other.disk, {}],
    ['another range', filled.disk, { range }],
    ['a sample', filled.disk, { sample: { percent: 10, seed: 1 } }],
  ] as const) {
    await t.rejects(
      scrub(disk, { ...options, state }),
      { code: 'ERR_USAGE', message: /not of this scrub/ },
      what,
    );
  }
  t.equal(readFileSync(state, 'utf8'), kept);
});

t.test('what is no state is refused, and what cannot be written is known before the scrub', async (t) => {
  await using filled = await subject();
  const state = newFile();
  await until(filled, 1000, { state });
  const good = JSON.parse(readFileSync(state, 'utf8'));
  const [first] = good.state.findings;
  const listed = Array(1000).fill(first);
  const spoilt = (change: object) => ({ ...good, state: { ...good.state, ...change } });
  for (const [name, content] of [
    ['nothing', ''],
    ['null', 'null'],
    ['a list', '[]'],
    ['other JSON', '{"file":"other"}'],
    ['another version', JSON.stringify({ ...good, version: 99 })],
    ['a version that is none', JSON.stringify({ ...good, version: '1' })],
    ['half', readFileSync(state, 'utf8').slice(0, 200)],
    ['too many transfers', JSON.stringify(spoilt({ transfers: 1e6 }))],
    ['a fraction', JSON.stringify(spoilt({ transfers: 0.5 }))],
    ['blocks that were not', JSON.stringify(spoilt({ blocks: good.state.blocks + 1000 }))],
    ['fewer blocks than its transfers', JSON.stringify(spoilt({ blocks: 0 }))],
    [
      'findings of half their members',
      JSON.stringify(spoilt({ findings: [{ lba: 1, blocks: 1, text: 'bad' }] })),
    ],
    ['a diagnosis that is none', JSON.stringify(spoilt({ findings: [{ ...first, diagnosis: 5 }] }))],
    ['no counts', JSON.stringify(spoilt({ counts: null }))],
    [
      'a count that is none of a scrub',
      JSON.stringify(spoilt({ counts: { ...good.state.counts, more: 1 } })),
    ],
    ['more than was done', JSON.stringify(spoilt({ counts: { ...good.state.counts, passed: 1 } }))],
    [
      'one block less',
      JSON.stringify(spoilt({ counts: { ...good.state.counts, ok: good.state.counts.ok - 1 } })),
    ],
    ['omitted, and not listed', JSON.stringify(spoilt({ findingsOmitted: 1 }))],
    ['more omitted than there can be', JSON.stringify(spoilt({ findings: listed, findingsOmitted: 1e9 }))],
    ['a finding behind what is done', JSON.stringify(spoilt({ findings: [{ ...first, lba: 4000 }] }))],
    ['a finding that ends behind it', JSON.stringify(spoilt({ findings: [{ ...first, blocks: 1e15 }] }))],
    ['more intervals than blocks', JSON.stringify(spoilt({ findings: [{ ...first, intervals: 3 }] }))],
    ['a negative tag', JSON.stringify(spoilt({ findings: [{ ...first, stored: -1 }] }))],
    ['a tag that is no number', JSON.stringify(spoilt({ findings: [{ ...first, stored: '12 apples' }] }))],
    ['a member that is none of a finding', JSON.stringify(spoilt({ findings: [{ ...first, more: 1 }] }))],
    ['an open finding that has ended', JSON.stringify(spoilt({ open: first }))],
    ['findings that are none', JSON.stringify(spoilt({ findings: [null] }))],
    ['too many findings', JSON.stringify(spoilt({ findings: [...listed, first] }))],
  ] as const) {
    writeFileSync(state, content);
    await t.rejects(scrub(filled.disk, { state }), { code: 'ERR_USAGE' }, name);
    t.equal(readFileSync(state, 'utf8'), content, name);
  }
  mkdirSync(join(dir, 'folder'));
  await t.rejects(scrub(filled.disk, { state: join(dir, 'folder') }), { code: 'ERR_USAGE' });
  await t.rejects(scrub(filled.disk, { state: '/dev/null' }), {
    code: 'ERR_USAGE',
    message: /no regular file/,
  });
  await t.rejects(scrub(filled.disk, { state: join(dir, 'none', 'state') }), { code: 'ERR_IO' });
  const link = newFile();
  const target = newFile();
  writeFileSync(target, 'precious');
  symlinkSync(target, `${link}.new`);
  await t.rejects(scrub(filled.disk, { state: link }), { code: 'ERR_IO' }, 'no link is followed');
  t.equal(readFileSync(target, 'utf8'), 'precious');
});

t.test(
  'a state that cannot be written or removed any more: the report says so, with all that was found',
  async (t) => {
    await using filled = await subject();
    for (const [blocks, done] of [
      [2500, 'less'],
      [BLOCKS, 'all'],
    ] as const) {
      const folder = join(dir, `gone-${done}`);
      mkdirSync(folder);
      const controller = new AbortController();
      const report = await scrub(filled.disk, {
        state: join(folder, 'state'),
        signal: controller.signal,
        onProgress: (progress) => {
          if (progress.done < blocks) return;
          rmSync(folder, { recursive: true });
          if (blocks < BLOCKS) controller.abort();
        },
      });
      t.match(
        report,
        { ended: 'failed', reason: /^state .*gone.* cannot be (written|removed): ENOENT/ },
        done,
      );
      t.match(report.findings[0], { kind: 'mismatch', lba: 100, blocks: 2 });
      t.equal(report.next, done === 'all' ? null : report.done);
    }
  },
);

t.test('whatever number of it is another: refused, or its figures can be', async (t) => {
  await using filled = await subject();
  filled.emulated.addFault({ kind: 'medium-error', lba: 200n, blocks: 2n });
  const state = newFile();
  await until(filled, 1000, { state });
  const good = readFileSync(state, 'utf8');
  const numbers = [...good.matchAll(/[^\d."a-z](\d+)(?=[,}])/g)].map(({ index }) => index + 1);
  t.ok(numbers.length > 20, `${numbers.length}`);
  const cases = {
    at: fc.constantFrom(...numbers),
    other: fc.oneof(
      fc.constantFrom(
        '-1',
        '0.5',
        '1e300',
        '1e999',
        '9007199254740991',
        '9007199254740992',
        'null',
        '"1"',
        '[]',
      ),
      fc.integer({ min: -2, max: BLOCKS + 2 }).map(String),
    ),
  };
  let accepted = 0;
  const property = fc.asyncProperty(fc.record(cases), async ({ at, other }) => {
    const what = `${good.slice(at - 20, at)} ${other}`;
    const spoilt = good.slice(0, at) + good.slice(at).replace(/^\d+/, other);
    writeFileSync(state, spoilt);
    const report = await scrub(filled.disk, { state }).catch((error) => error);
    if (report instanceof Error) return t.match(report, { code: 'ERR_USAGE' }, what);
    const { counts, done, checked, findings } = report as ScrubReport;
    accepted++;
    t.equal(counts.ok + counts.bad + counts.unreadable, BLOCKS, what);
    t.same({ done, checked }, { done: BLOCKS, checked: BLOCKS - counts.unreadable }, what);
    for (const { lba, blocks } of findings) t.ok(lba >= 0 && blocks > 0 && lba + blocks <= BLOCKS, what);
    return true;
  });
  await fc.assert(property, { numRuns: 300 });
  t.ok(accepted > 0, 'some can be');
});

/** Whatever has the name of this state, or begins with it. */
const leftOf = (state: string) => readdirSync(dir).filter((name) => name.startsWith(basename(state)));

/** What this process has open in a folder. */
const descriptorsOf = (folder: string) =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(folder) ? [path] : [];
    } catch {
      return [];
    }
  });

t.test('a state is one scrub at a time', async (t) => {
  await using filled = await subject();
  await using other = await filled.emulated.open();
  const state = newFile();
  const seen: string[] = [];
  let second: Promise<unknown> = Promise.resolve();
  const first = await scrub(filled.disk, {
    state,
    onProgress: ({ done }) => {
      seen.push(readFileSync(state, 'utf8'));
      if (done < 1000) second = scrub(other, { state }).catch((error) => error);
    },
  });
  t.match(await second, {
    code: 'ERR_BUSY',
    message: `state ${state} is that of a scrub that is running`,
    advice: /another file/,
  });
  t.equal(new Set(seen).size, 1, 'the second has not written to it');
  t.match(first, { ended: 'finished', resumed: false });
  t.same(leftOf(state), []);
});

t.test('a scrub that is killed keeps nobody from its state', async (t) => {
  await using filled = await subject();
  const state = newFile();
  const main = fileURLToPath(new URL('../../lib/cli/main.js', import.meta.url));
  const args = ['scrub', '--testbed', 'disk', '--rate', '1M', '--state', state];
  const child = spawn(process.execPath, [main, ...args], { stdio: 'ignore' });
  while (!existsSync(state) && child.exitCode === null) await delay(50);
  await t.rejects(scrub(filled.disk, { state }), { code: 'ERR_BUSY' });
  t.equal(spawnSync(process.execPath, [main, ...args]).status, 3);
  child.kill('SIGKILL');
  await once(child, 'exit');
  const theirs = readFileSync(state, 'utf8');
  t.same(leftOf(state), [basename(state), `${basename(state)}.lock`]);
  await t.rejects(scrub(filled.disk, { state }), { code: 'ERR_USAGE', message: /identity/ });
  t.equal(readFileSync(state, 'utf8'), theirs);
  t.same(leftOf(state), [basename(state)], 'the lock that nobody held is gone');
});

t.test('what lies under the name of the lock is neither waited for nor taken away', async (t) => {
  await using filled = await subject();
  const fifo = newFile();
  execFileSync('mkfifo', [`${fifo}.lock`]);
  await t.rejects(scrub(filled.disk, { state: fifo }), {
    code: 'ERR_USAGE',
    message: `state ${fifo} cannot use ${fifo}.lock: it is no regular file`,
  });
  const state = newFile();
  writeFileSync(`${state}.lock`, 'precious');
  t.match(await scrub(filled.disk, { state }), { ended: 'finished' });
  t.equal(readFileSync(`${state}.lock`, 'utf8'), 'precious');
  const [link, target] = [newFile(), newFile()];
  symlinkSync(target, `${link}.lock`);
  await t.rejects(scrub(filled.disk, { state: link }), { code: 'ERR_IO', message: /ELOOP/ });
  t.notOk(existsSync(target), 'nothing is made where a link points');
});

t.test('a lock that may not be opened: whose state it is, and what to do', async (t) => {
  await using filled = await subject();
  const folder = mkdtempSync(join(tmpdir(), 'scrub-state-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  chmodSync(folder, 0o777);
  const state = join(folder, 'state');
  writeFileSync(`${state}.lock`, '');
  chmodSync(`${state}.lock`, 0);
  const root = process.geteuid?.() === 0;
  if (root) process.seteuid?.(65534);
  const refused = await scrub(filled.disk, { state }).catch((error) => error);
  if (root) process.seteuid?.(0);
  t.match(refused, {
    code: 'ERR_PERMISSION',
    message: `state ${state} cannot be locked by ${state}.lock: EACCES`,
    advice: /FILE\.lock of a killed scrub/,
  });
  t.same(readdirSync(folder), ['state.lock']);
});

t.test('a folder that is not there, or a file system without locks', async (t) => {
  await using filled = await subject();
  const nowhere = join(dir, 'none', 'state');
  const state = newFile();
  const advice = /folder that is there/;
  await t.rejects(scrub(filled.disk, { state: nowhere }), {
    code: 'ERR_IO',
    message: `state ${nowhere} cannot be locked by ${nowhere}.lock: ENOENT`,
    advice,
  });
  const Lockless = class extends native().Handle {
    override lockExclusive = async () => ({ errno: ERRNO.ENOLCK });
  };
  t.intercept(native(), 'Handle', { value: Lockless });
  await t.rejects(scrub(filled.disk, { state }), {
    code: 'ERR_IO',
    message: `state ${state} cannot be locked by ${state}.lock: ENOLCK`,
    advice,
  });
  rmSync(`${state}.lock`);
});

t.test('a lock that is taken away: the state is left to whoever has it now', async (t) => {
  await using filled = await subject();
  for (const [name, blocks, replaced] of [
    ['interrupted', 1000, true],
    ['finished', BLOCKS, true],
    ['nobody has it', BLOCKS, false],
  ] as const) {
    const state = newFile();
    const controller = new AbortController();
    const report = await scrub(filled.disk, {
      state,
      signal: controller.signal,
      onProgress: ({ done }) => {
        if (done < blocks || controller.signal.aborted) return;
        rmSync(`${state}.lock`);
        if (replaced) writeFileSync(`${state}.lock`, '');
        writeFileSync(state, 'theirs');
        if (blocks < BLOCKS) controller.abort();
      },
    });
    t.match(report, { ended: 'failed', reason: `state ${state} can be another scrub's by now` }, name);
    t.equal(readFileSync(state, 'utf8'), 'theirs', name);
    t.same(leftOf(state), [basename(state), ...(replaced ? [`${basename(state)}.lock`] : [])], name);
  }
});

t.test('another file that has taken the name of the state is left alone', async (t) => {
  await using filled = await subject();
  const putBeside = (state: string) => {
    writeFileSync(`${state}.other`, 'theirs');
    renameSync(`${state}.other`, state);
  };
  // Its inode may be the one that has just become free.
  const putAnew = (state: string) => {
    rmSync(state);
    writeFileSync(state, 'theirs');
  };
  const link = (state: string) => {
    const other = newFile();
    writeFileSync(other, 'theirs');
    rmSync(state);
    symlinkSync(other, state);
  };
  for (const put of [putBeside, putAnew, link])
    for (const blocks of [1000, BLOCKS])
      for (const resumed of [false, true]) {
        const what = `${put.name}, ${blocks} blocks, ${resumed ? 'resumed' : 'begun'}`;
        const state = newFile();
        if (resumed) await until(filled, 500, { state });
        const controller = new AbortController();
        let taken = false;
        const report = await scrub(filled.disk, {
          state,
          signal: controller.signal,
          onProgress: ({ done }) => {
            if (done < blocks || taken) return;
            taken = true;
            put(state);
            if (blocks < BLOCKS) controller.abort();
          },
        });
        t.match(
          report,
          { ended: 'failed', resumed, reason: `state ${state} is another file by now: ` },
          what,
        );
        t.equal(readFileSync(state, 'utf8'), 'theirs', what);
        t.equal(lstatSync(state).isSymbolicLink(), put === link, what);
        t.same(leftOf(state), [basename(state)], what);
        t.same(descriptorsOf(dir), [], 'nothing of it stays open');
      }
});

t.test('a file that takes the name before the state was ever there', async (t) => {
  await using filled = await subject();
  t.teardown(() => syncBuiltinESMExports());
  const state = newFile();
  const { lstat } = files;
  let looks = 0;
  t.intercept(files, 'lstat', {
    value: async (...args: Parameters<typeof lstat>) => {
      // The second look is the one before the state takes its name.
      if (args[0] === state && ++looks === 2) writeFileSync(state, 'theirs');
      return lstat(...args);
    },
  });
  syncBuiltinESMExports();
  await t.rejects(scrub(filled.disk, { state }), {
    code: 'ERR_BUSY',
    message: `state ${state} is another file by now`,
    advice: /name another file/,
  });
  t.equal(readFileSync(state, 'utf8'), 'theirs');
  t.same(leftOf(state), [basename(state)]);
});

t.test('a state that has vanished is written again', async (t) => {
  await using filled = await subject();
  const state = newFile();
  const controller = new AbortController();
  const report = await scrub(filled.disk, {
    state,
    signal: controller.signal,
    onProgress: () => {
      if (controller.signal.aborted) return;
      rmSync(state);
      controller.abort();
    },
  });
  t.match(report, { ended: 'interrupted' });
  t.match(await scrub(filled.disk, { state }), { ended: 'finished', resumed: true });
  t.match(await scrub(filled.disk, { state, onProgress: () => rmSync(state, { force: true }) }), {
    ended: 'finished',
  });
});

t.test('names that are none of a state', async (t) => {
  await using filled = await subject();
  const before = readdirSync(dir);
  for (const [state, message] of [
    ['', /'' is no file/],
    [join(dir, 'other.new'), /cannot end in \.new: that is what lies beside the state .*other$/],
    [join(dir, 'other.lock'), /cannot end in \.lock/],
  ] as const)
    await t.rejects(scrub(filled.disk, { state }), { code: 'ERR_USAGE', message }, state);
  t.same(readdirSync(dir), before);
  t.notOk(existsSync('.lock') || existsSync('.new'));
});

t.test('a state of another version', async (t) => {
  await using filled = await subject();
  const state = newFile();
  for (const [version, whose] of [
    [1, 'an earlier'],
    [99, 'a later'],
  ] as const) {
    writeFileSync(state, JSON.stringify({ file: 'blk-integrity scrub', version }));
    await t.rejects(scrub(filled.disk, { state }), {
      code: 'ERR_USAGE',
      message: `it is a state of version ${version}, of ${whose} blk-integrity`,
      advice: /remove this one to begin anew/,
    });
  }
});

t.test('more transfers than a sample has', async (t) => {
  await using filled = await subject();
  const state = newFile();
  const sample = { percent: 10, seed: 0 };
  await until(filled, 1, { state, sample });
  const good = JSON.parse(readFileSync(state, 'utf8'));
  const more = { transfers: 9, blocks: 9 * good.transferBlocks };
  writeFileSync(state, JSON.stringify({ ...good, state: { ...good.state, ...more } }));
  await t.rejects(scrub(filled.disk, { state, sample }), { code: 'ERR_USAGE', message: /its numbers/ });
});

t.test('what lies under the name of the next state is not waited for, and not emptied', async (t) => {
  await using filled = await subject();
  const fifo = newFile();
  execFileSync('mkfifo', [`${fifo}.new`]);
  await t.rejects(scrub(filled.disk, { state: fifo }), { code: 'ERR_IO' });
  const [state, other] = [newFile(), newFile()];
  writeFileSync(other, 'precious');
  linkSync(other, `${state}.new`);
  await t.rejects(scrub(filled.disk, { state }), { code: 'ERR_USAGE', message: /of one name/ });
  t.equal(readFileSync(other, 'utf8'), 'precious');
});

t.test(
  'a file under the name of the next state: written over only where it is the remainder of one',
  async (t) => {
    await using filled = await subject();
    const state = newFile();
    const next = `${state}.new`;
    const refusal = {
      code: 'ERR_USAGE',
      message: `state ${state} cannot use ${next}: it is no state of a scrub`,
      advice: `Name another file, or move ${next} away.`,
    };
    for (const precious of [
      'precious',
      '{"file":"other"}',
      '{"file":"blk-integrity other, of more bytes"}',
    ]) {
      writeFileSync(next, precious);
      await t.rejects(scrub(filled.disk, { state }), refusal, precious);
      t.equal(readFileSync(next, 'utf8'), precious);
      t.same(leftOf(state), [basename(next)]);
    }
    rmSync(next);
    await until(filled, 1000, { state });
    const whole = readFileSync(state, 'utf8');
    for (const remainder of ['', whole.slice(0, 5), whole]) {
      writeFileSync(next, remainder);
      await until(filled, 1000, { state });
      t.same(leftOf(state), [basename(state)]);
    }
    writeFileSync(next, 'precious');
    const kept = readFileSync(state, 'utf8');
    await t.rejects(scrub(filled.disk, { state }), refusal, 'before it is gone on with');
    t.equal(readFileSync(state, 'utf8'), kept);
    t.equal(readFileSync(next, 'utf8'), 'precious');
  },
);

t.test('a state that cannot take its name leaves nothing under the other one', async (t) => {
  await using filled = await subject();
  const state = newFile();
  const controller = new AbortController();
  const report = await scrub(filled.disk, {
    state,
    signal: controller.signal,
    onProgress: () => {
      if (controller.signal.aborted) return;
      rmSync(state);
      mkdirSync(state);
      controller.abort();
    },
  });
  t.match(report, { ended: 'failed', reason: /cannot be written: EISDIR/ });
  t.same(leftOf(state), [basename(state)]);
});
