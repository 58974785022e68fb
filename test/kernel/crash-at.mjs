/**
 * Kills the process that imports it (`node --import`) at one of its write points: CRASH_AT counts the writes to disks and to files that
 * were opened for writing, in one row; CRASH_WHEN is `before` a write, while it is `under-way`, or `after` it.
 */
import { open } from 'node:fs/promises';
import { native } from '../../lib/binding.js';

const at = Number(process.env.CRASH_AT);
const when = process.env.CRASH_WHEN;
const die = () => process.kill(process.pid, 'SIGKILL');
let seen = 0;

function wrap(prototype, name, writes) {
  const own = prototype[name];
  prototype[name] = function (...args) {
    if (!writes(...args) || ++seen !== at) return own.apply(this, args);
    if (when === 'before') die();
    const done = own.apply(this, args);
    if (when === 'under-way') die();
    return done.then(die);
  };
}

const { Handle } = native();
wrap(Handle.prototype, 'sgIo', ({ direction }) => direction === 'to-device');
wrap(Handle.prototype, 'write', () => true);
wrap(Handle.prototype, 'writeWithPi', () => true);

const file = await open('/dev/null', 'w');
const files = Object.getPrototypeOf(file);
for (const name of ['writeFile', 'sync', 'datasync']) wrap(files, name, () => true);
await file.close();
