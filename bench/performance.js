/**
 * The software checker beside its peers and the memory, in one run: `npm run bench [-- RESULT.json]`. The method and what each row means
 * are in docs/performance.md. Only the ratios travel from machine to machine.
 */
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, release } from 'node:os';
import { guardKernels, nativeEngine, pinnedBuffer, profileByName } from 'blk-integrity';

const candidates = createRequire(import.meta.url)('../build/Release/performance_candidates.node');

const { kernels, inUse: kernel } = guardKernels();
candidates.useGuardKernel(kernel);

/** What ISA-L would choose where this kernel is the fastest: it has nothing between PCLMULQDQ and AVX-512. */
const ISAL_OF_KERNEL = { portable: 'isal crc16 plain', 'avx512-gfni': 'isal crc16' };

const ROUNDS = 15;
const MILLISECONDS = 12;
const CACHED = 256 * 1024;
const FROM_MEMORY = 2 ** 30;
const CALL = 64 * 1024;

const GUARDS = { 'T10-DIF-TYPE1-CRC': 0, 'T10-DIF-TYPE1-IP': 1, 'EXT-DIF-TYPE1-CRC64': 2 };

/** Buffers of `bytes` of data with good tuples, and the candidates on them: each is a function of milliseconds and says GB/s. */
function blocksOf(name, interval, layout, bytes, alone = false) {
  const profile = profileByName(name, { interval });
  const options = { profile, layout, seed: 0n, type3Ref: 'zero' };
  const interleaved = layout === 'interleaved';
  const stride = interval + (interleaved ? profile.tupleSize : 0);
  const data = pinnedBuffer(Math.floor(bytes / interval) * stride).fill(0x5a);
  const tuples = interleaved ? null : pinnedBuffer((data.length / interval) * profile.tupleSize);
  nativeEngine.generateInto(data, tuples, options);
  const native = (candidate) => (milliseconds) =>
    candidates.rate(candidate, milliseconds, data, tuples ?? data, interval, interleaved, GUARDS[name]);
  const { verify } = nativeEngine.prepareVerify(options);
  const { generateInto } = nativeEngine.prepareGenerate(options);
  const payload = (data.length / stride) * interval;
  return {
    native,
    javascript: {
      verify: timed((seed) => verify(data, tuples, seed), payload),
      generate: timed((seed) => generateInto(data, tuples, seed), payload),
    },
    data,
    alone,
  };
}

/** Plain data and room for its blocks, for insert and strip. */
function copiesOf(interval, bytes) {
  const data = pinnedBuffer(bytes).fill(0x5a);
  const blocks = pinnedBuffer((bytes / interval) * (interval + 8));
  const profile = profileByName('T10-DIF-TYPE1-CRC', { interval });
  nativeEngine.insert(data, blocks, { profile, layout: 'interleaved', seed: 0n, type3Ref: 'zero' });
  return (candidate) => (milliseconds) =>
    candidates.rate(candidate, milliseconds, data, blocks, interval, false, GUARDS[profile.name]);
}

/**
 * How often `unit` goes into a nanosecond when `call` does `unit` of it. Each has a loop of its own, as in a program that makes these
 * calls: one loop for all would never be compiled for any.
 */
function timed(call, unit) {
  const loop = new Function('call', 'times', 'for (let i = 0; i < times; i++) call(0n);');
  let times = 16;
  return (milliseconds) => {
    let calls = 0;
    let elapsed = 0;
    while (elapsed < milliseconds * 1e6) {
      const start = process.hrtime.bigint();
      loop(call, times);
      const taken = Number(process.hrtime.bigint() - start);
      calls += times;
      elapsed += taken;
      if (taken < 1e6) times *= 2;
    }
    return (calls * unit) / elapsed;
  };
}

/**
 * Rows that are measured in turns, as they share buffers: `ours` and `peer` are functions of milliseconds; a peer that is a string is
 * not on this machine. `least`: what the ratio of ours to the peer's is to be.
 */
function* groups() {
  const crc = 'T10-DIF-TYPE1-CRC';
  const isal = (name, blocks) => (candidates.isHere(name) ? blocks(name) : null);
  for (const interval of [512, 4096]) {
    const large = interval === 4096;
    const separate = blocksOf(crc, interval, 'separate', CACHED);
    const interleaved = blocksOf(crc, interval, 'interleaved', CACHED);
    const copies = copiesOf(interval, CACHED);
    const work = (name, of, peer, least, peerName) => ({
      work: `${name}, cached`,
      ours: of(name.split(' ')[0]),
      peer: isal(peer, of),
      peerName,
      least,
    });
    const stand = "ISA-L a block, and its tuple (stands in for SPDK's dif)";
    yield [
      {
        work: `CRC-16 of ${interval}-byte intervals, cached`,
        ours: separate.native('guards'),
        peer: isal('isal crc16', separate.native),
        peerName: 'ISA-L crc16_t10dif',
        least: large ? 1.2 : 1.7,
      },
      work(`verify ${interval} + 8 separate`, separate.native, 'isal verify', large ? 1 : 1.7, stand),
      work(`verify ${interval} + 8 interleaved`, interleaved.native, 'isal verify', large ? 1 : 1.7, stand),
      work(`generate ${interval} + 8 separate`, separate.native, 'isal generate', large ? 1 : 1.5, stand),
      work(
        `generate ${interval} + 8 interleaved`,
        interleaved.native,
        'isal generate',
        large ? 1 : 1.5,
        stand,
      ),
      work(`insert ${interval} + 8`, copies, 'isal insert', 1.5, 'ISA-L crc16_t10dif_copy, and the tuple'),
      work(`strip ${interval} + 8`, copies, 'isal strip', 1.5, 'ISA-L crc16_t10dif_copy, and the tuple'),
    ];
  }
  for (const { name } of kernels.filter(({ runsHere }) => runsHere)) {
    yield [512, 4096].map((interval) => {
      const { native } = blocksOf(crc, interval, 'separate', CACHED);
      const guards = native('guards');
      return {
        work: `CRC-16 of ${interval}-byte intervals by ${name}, cached`,
        ours(milliseconds) {
          candidates.useGuardKernel(name);
          const rate = guards(milliseconds);
          candidates.useGuardKernel(kernel);
          return rate;
        },
        peer: isal(ISAL_OF_KERNEL[name] ?? 'isal crc16 pclmul', native),
        peerName: "ISA-L's for such CPUs",
      };
    });
  }
  for (const interval of [512, 4096]) {
    const crc64 = blocksOf('EXT-DIF-TYPE1-CRC64', interval, 'separate', CACHED);
    const ip = blocksOf('T10-DIF-TYPE1-IP', interval, 'separate', CACHED);
    yield [
      {
        work: `CRC-64 NVMe of ${interval}-byte intervals, cached`,
        ours: crc64.native('guards'),
        peer: isal('isal crc64', crc64.native),
        peerName: 'ISA-L crc64, reflected',
        least: 1,
      },
      {
        work: `IP checksum of ${interval}-byte intervals, cached`,
        ours: ip.native('guards'),
        peer: ip.native('plain sum'),
        peerName: 'a plain vector sum',
        least: 1,
      },
    ];
  }
  const rows = [];
  for (const layout of ['separate', 'interleaved']) {
    const blocks = blocksOf(crc, 512, layout, CALL);
    for (const name of ['verify', 'generate']) {
      rows.push({
        work: `${name} 512 + 8 ${layout} from JavaScript, 64 KiB a call`,
        ours: blocks.javascript[name],
        peer: blocks.native(name),
        peerName: 'the same without JavaScript',
        least: 0.9,
      });
    }
  }
  yield rows;
  const small = blocksOf(crc, 512, 'interleaved', 8 * 512);
  const { empty } = candidates;
  yield [
    {
      work: 'one call from JavaScript: verify 8 blocks of 512',
      ours: small.javascript.verify,
      peer: timed((seed) => empty(small.data, null, seed), 8 * 512),
      peerName: 'an empty call with the same arguments',
      least: 1 / 2.5,
      call: 8 * 512,
    },
  ];
  // Last: what these leave behind keeps the garbage collector busy.
  for (const interval of [512, 4096]) {
    for (const layout of ['separate', 'interleaved']) {
      const blocks = blocksOf(crc, interval, layout, FROM_MEMORY);
      const work = `verify ${interval} + 8 ${layout}, 1 GiB from memory`;
      const ours = blocks.native('verify');
      yield [
        { work, ours, peer: blocks.native('read'), peerName: 'reading it', least: 0.8, memory: true },
        { work, ours, peer: isal('isal verify', blocks.native), peerName: 'ISA-L a block, and its tuple' },
      ];
    }
  }
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

/** A round has one turn of each candidate; two rows may share one. */
function measure(rows) {
  const turns = new Map();
  for (const { ours, peer } of rows) for (const one of [ours, peer]) if (one !== null) turns.set(one, []);
  for (const one of turns.keys()) one(MILLISECONDS);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [one, rates] of turns) rates.push(one(MILLISECONDS));
  }
  return rows.map(({ ours, peer, ...row }) => {
    const [own, others] = [turns.get(ours), turns.get(peer) ?? null];
    const ratio = others && median(own.map((rate, round) => rate / others[round]));
    const figures = (rates) => rates && { median: median(rates), best: Math.max(...rates) };
    return { ...row, ours: figures(own), peer: figures(others), ratio };
  });
}

const rows = [];
for (const group of groups()) rows.push(...measure(group));

const memoryRead = median(rows.filter(({ memory }) => memory).map(({ peer }) => peer.median));
const said = (rate, call) => (call ? `${Math.round(call / rate)} ns` : `${rate.toFixed(1)} GB/s`);
const times = (ratio) => `${ratio.toFixed(2)} ×`;
const table = rows.map(({ work, ours, peer, peerName, ratio, least, call }) => ({
  work,
  ours: said(ours.median, call),
  'beside it': peerName,
  its: peer ? said(peer.median, call) : 'not installed: not compared',
  // Of a call, how many times as long it takes.
  ratio: ratio ? times(call ? 1 / ratio : ratio) : '',
  goal: least ? (call ? `at most ${times(1 / least)}` : `at least ${times(least)}`) : '',
  'of memory read': call ? '' : times(ours.median / memoryRead),
}));

const line = (cells) => `| ${cells.join(' | ')} |`;
const columns = Object.keys(table[0]);
const machine = `${cpus()[0].model}, guard kernel ${kernel}, Linux ${release()}, Node ${process.version}`;
console.log(`${machine}; memory read ${memoryRead.toFixed(1)} GB/s; medians of ${ROUNDS} rounds\n`);
console.log(
  [line(columns), line(columns.map(() => '---')), ...table.map((row) => line(Object.values(row)))].join('\n'),
);
const missed = rows.filter(({ ratio, least }) => ratio && least && ratio < least);
console.log(
  missed.length === 0
    ? '\nevery goal is reached'
    : `\nnot reached: ${missed.map(({ work }) => work).join('; ')}`,
);
writeFileSync(
  process.argv[2] ?? new URL('result.json', import.meta.url),
  `${JSON.stringify({ machine, memoryRead, rounds: ROUNDS, rows }, null, 2)}\n`,
);
