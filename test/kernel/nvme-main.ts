/**
 * The NVMe namespaces alone: `testbed vm --nvme … -- node build/kernel-tests/nvme-main.js`, with the options of
 * targets/nvme-namespaces.ts.
 */
import './guest-only.js';
import t from 'tap';
import { nvme } from './nvme.js';

t.setTimeout(600_000);
await t.test('NVMe', nvme);
