#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { isatty } from 'node:tty';
import { runProgram } from './program.js';

// A terminal that has gone is no reason to leave a disk half written.
process.stderr.on('error', () => {});

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const interrupt = new AbortController();
// What is in flight ends and what was written is put back; a second signal must not cut that short.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupt.abort());
// Node forgets what it was started with ignored. nohup leaves none of these a terminal: then no terminal's hang-up is ours.
const hasTerminal = [0, 1, 2].some((fd) => isatty(fd));
process.on('SIGHUP', () => {
  if (hasTerminal) interrupt.abort();
});
// Nor must a fault of ours.
let fault = false;
process.on('uncaughtException', (error) => {
  fault = true;
  process.exitCode = 3;
  process.stderr.write(`blk-integrity: ${error.stack ?? error}\n`);
  interrupt.abort();
});

await runProgram(
  process.argv.slice(2),
  {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    signal: interrupt.signal,
    setExitStatus: (status) => {
      process.exitCode = fault ? 3 : status;
    },
  },
  version,
);
