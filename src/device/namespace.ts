/**
 * What an NVMe namespace says of its own format.
 */
import type { NativeHandle, NvmeIdentifyRequest } from '../binding.js';
import { IntegrityError } from '../errors.js';
import { decodeNamespaceFormat, type NamespaceFormat } from '../nvme/identify.js';

const TIMEOUT_MS = 30_000;

/**
 * Asked through its block node. Null where the controller or the kernel refuses to tell (Linux before 6.2 wants CAP_SYS_ADMIN
 * for it), and for an answer that makes no sense.
 */
export async function learnNamespaceFormat(handle: NativeHandle): Promise<NamespaceFormat | null> {
  const identify = async (structure: NvmeIdentifyRequest['structure']): Promise<Uint8Array | null> => {
    const { errno, status, data } = await handle.nvmeIdentify({ structure, timeoutMs: TIMEOUT_MS });
    return errno === 0 && status === 0 ? data : null;
  };
  const namespace = await identify('namespace');
  if (namespace === null) return null;
  try {
    // Controllers older than NVMe 2.0 do not have it.
    return decodeNamespaceFormat(namespace, await identify('nvm-namespace'));
  } catch (error) {
    if (error instanceof IntegrityError && error.code === 'ERR_MALFORMED_RESPONSE') return null;
    throw error;
  }
}
