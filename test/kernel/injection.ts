/**
 * scsi_debug as the judge of the pass-through path: every command that it has, every error that it can be made to answer.
 */
import type { Test } from 'tap';
import { behaviour } from './injection/behaviour.js';
import { knownCommands } from './injection/commands.js';
import { described } from './injection/described.js';
import { errors } from './injection/errors.js';

export async function injection(t: Test): Promise<void> {
  await t.test('every command that it has', knownCommands);
  await t.test('every error', errors);
  await t.test('what it says of itself', described);
  await t.test('a disk that behaves badly', behaviour);
}
