/** Which code computes the guards of the native engine. */
import { type GuardKernels, native } from '../binding.js';

export type { GuardKernels } from '../binding.js';

/**
 * The guard kernels that the addon has, and the one in use: the fastest that this CPU runs, unless the environment variable
 * BLK_INTEGRITY_GUARD_KERNEL names another when the addon is first used.
 *
 * @throws ERR_NO_ADDON when the addon cannot be loaded; ERR_USAGE when the variable names a kernel that does not run here.
 */
export function guardKernels(): GuardKernels {
  return native().guardKernels();
}
