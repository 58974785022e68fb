/**
 * Every test that needs a real kernel, in one process: run inside a booted guest, it prints TAP.
 */
import t from 'tap';
import { badInput } from './bad-input.js';
import { lioFileio } from './lio-fileio.js';
import { safeguard } from './safeguard.js';
import { scsiDebug } from './scsi-debug.js';

t.setTimeout(600_000);
await t.test('scsi_debug', scsiDebug);
await t.test('LIO fileio', lioFileio);
await t.test('safeguard', safeguard);
await t.test('bad input', badInput);
