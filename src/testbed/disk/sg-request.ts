/**
 * What no node takes: arguments of SG_IO that are wrong in themselves, refused as the addon refuses them (native/addon/handle.cc), so that
 * what a disk in this process lets through no disk of the kernel refuses.
 */
import { isSharedArrayBuffer, isUint8Array } from 'node:util/types';
import type { SgRequest } from '../../binding.js';

const CDB_BYTES_MIN = 6;
const CDB_BYTES_MAX = 32;
const TIMEOUT_MS_MAX = 2 ** 31 - 1;
const DATA_BYTES_MAX = 2 ** 32 - 1;
const DIRECTIONS: readonly SgRequest['direction'][] = ['none', 'from-device', 'to-device'];

/** Throws a TypeError ERR_INVALID_ARG_TYPE or a RangeError ERR_OUT_OF_RANGE, which name what is wrong. */
export function requireSgRequest(request: SgRequest): void {
  if ((typeof request !== 'object' && typeof request !== 'function') || request === null)
    throw wrongType('request', 'an object');
  const { cdb, direction, timeoutMs, data } = request;
  requireBytes(cdb, 'request.cdb');
  if (cdb.length < CDB_BYTES_MIN || cdb.length > CDB_BYTES_MAX)
    throw outOfRange('request.cdb', '6 to 32 bytes long');
  if (typeof direction !== 'string') throw wrongType('request.direction', 'a string');
  if (!DIRECTIONS.includes(direction))
    throw outOfRange('request.direction', `one of ${DIRECTIONS.join(', ')}`);
  if (typeof timeoutMs !== 'number') throw wrongType('request.timeoutMs', 'a number');
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > TIMEOUT_MS_MAX)
    throw outOfRange('request.timeoutMs', `a whole number from 1 to ${TIMEOUT_MS_MAX}`);
  if (direction === 'none') {
    if (data !== null) throw wrongType('request.data', "null with direction 'none'");
    return;
  }
  requireBytes(data, 'request.data');
  if (data.length > DATA_BYTES_MAX) throw outOfRange('request.data', 'at most FFFFFFFFh bytes long');
}

function requireBytes(bytes: unknown, name: string): asserts bytes is Uint8Array {
  if (!isUint8Array(bytes)) throw wrongType(name, 'a Uint8Array');
  if (isSharedArrayBuffer(bytes.buffer))
    throw wrongType(name, 'a view of memory that no other thread shares');
}

function wrongType(name: string, expected: string): TypeError {
  return Object.assign(new TypeError(`${name} must be ${expected}`), { code: 'ERR_INVALID_ARG_TYPE' });
}

function outOfRange(name: string, expected: string): RangeError {
  return Object.assign(new RangeError(`${name} must be ${expected}`), { code: 'ERR_OUT_OF_RANGE' });
}
