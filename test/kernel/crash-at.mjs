/**
 * Ends the process that imports it (`node --import`), or with CRASH_BY=reset the machine, at one of its write points: CRASH_AT counts the
 * writes to disks and to files, and what syncs them, in one row; CRASH_WHEN is `before` a write, while it is `under-way`, or `after` it. A
 * process that ends says on stderr how many there were.
 */
import { writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { native } from '../../lib/binding.js';

const at = Number(process.env.CRASH_AT);
const when = process.env.CRASH_WHEN;
const die = {
  kill: () => process.kill(process.pid, 'SIGKILL'),
  // No file system is told.
  reset: () => writeFileSync('/proc/sysrq-trigger', 'b'),
}[process.env.CRASH_BY];
/** (10) and (16). */
const SYNCHRONIZE_CACHE = [0x35, 0x91];
let seen = 0;

function point(send) {
  if (++seen !== at) return send();
  if (when === 'before') die();
  const done = send();
  if (when === 'under-way') die();
  return done.then(die);
}

const binding = native();
binding.Handle = class extends binding.Handle {
  sgIo(request) {
    const writes = request.direction === 'to-device' || SYNCHRONIZE_CACHE.includes(request.cdb[0]);
    return writes ? point(() => super.sgIo(request)) : super.sgIo(request);
  }
  flush() {
    return point(() => super.flush());
  }
  write(...args) {
    return point(() => super.write(...args));
  }
  writeWithPi(...args) {
    return point(() => super.writeWithPi(...args));
  }
};

process.on('exit', () => process.stderr.write(`${seen}\n`));

const file = await open('/dev/null', 'w');
const files = Object.getPrototypeOf(file);
for (const name of ['writeFile', 'sync', 'datasync']) {
  const own = files[name];
  files[name] = function (...args) {
    return point(() => own.apply(this, args));
  };
}
await file.close();
