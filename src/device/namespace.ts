/**
 * What an NVMe namespace says of its own format.
 */
import type { NativeHandle, NvmeIdentifyRequest } from '../binding.js';
import { IntegrityError } from '../errors.js';
import { decodeNamespaceFormat, type NamespaceFormat } from '../nvme/identify.js';

const TIMEOUT_MS = 30_000;

/** Status code type and status code of a completion, without its flags; Invalid Field in Command (NVM Express base, generic status). */
const STATUS_CODE = 0x7ff;
const INVALID_FIELD = 0x002;

/**
 * Asked through its block node. Null where the controller or the kernel refuses to tell (Linux before 6.2 wants CAP_SYS_ADMIN
 * for it), and for an answer that makes no sense.
 */
export async function learnNamespaceFormat(handle: NativeHandle): Promise<NamespaceFormat | null> {
  const identify = (structure: NvmeIdentifyRequest['structure']) =>
    handle.nvmeIdentify({ structure, timeoutMs: TIMEOUT_MS });
  const namespace = await identify('namespace');
  if (namespace.errno !== 0 || namespace.status !== 0) return null;
  const extension = await identify('nvm-namespace');
  // Controllers older than NVMe 2.0 do not have it. Any other failure leaves open how wide the guard is.
  const lacksIt = extension.errno === 0 && (extension.status & STATUS_CODE) === INVALID_FIELD;
  if (!lacksIt && (extension.errno !== 0 || extension.status !== 0)) return null;
  try {
    return decodeNamespaceFormat(namespace.data, lacksIt ? null : extension.data);
  } catch (error) {
    if (error instanceof IntegrityError && error.code === 'ERR_MALFORMED_RESPONSE') return null;
    throw error;
  }
}
