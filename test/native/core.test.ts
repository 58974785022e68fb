/** The C++ tests of native/core, which print TAP themselves; `node scripts/prepare.js native-tests` builds them. */
import { fileURLToPath } from 'node:url';
import t from 'tap';

await t.spawn(fileURLToPath(new URL('../../build/Release/core_test', import.meta.url)), [], 'native/core');
