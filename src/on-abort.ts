/** Waiting for a signal that many wait for. */
import { setMaxListeners } from 'node:events';

/**
 * Calls `listener` once when the signal is aborted after this, until the function that it returns is called. However many wait on that signal,
 * Node does not warn of a leak any more: each of ours ends, and waits no more.
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return () => {};
  // Another's AbortSignal has no such limit.
  if (signal instanceof EventTarget) setMaxListeners(0, signal);
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}
