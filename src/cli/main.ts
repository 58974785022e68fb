#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { runProgram } from './program.js';

// A terminal that has gone is no reason to leave a disk half written.
process.stderr.on('error', () => {});

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const interrupt = new AbortController();
// What is in flight ends and what was written is put back; a second signal must not cut that short.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupt.abort());
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
