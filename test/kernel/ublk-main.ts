/**
 * The ublk disks alone: `testbed vm --kernel newest -- node build/kernel-tests/ublk-main.js`.
 */
import './guest-only.js';
import t from 'tap';
import { ublk } from './ublk.js';

t.setTimeout(600_000);
await t.test('ublk', ublk);
