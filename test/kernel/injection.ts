/**
 * scsi_debug as the judge of the pass-through path: every command that it has, every error that it can be made to answer.
 */
import type { Test } from 'tap';
import { knownCommands } from './injection/commands.js';
import { errors } from './injection/errors.js';

export async function injection(t: Test): Promise<void> {
  await t.test('every command that it has', knownCommands);
  await t.test('every error', errors);
}
