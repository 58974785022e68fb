/**
 * Waits for what the kernel does in its own time: scans, nodes, modules that are let go.
 */
import { setTimeout as delay } from 'node:timers/promises';

const STEP_MS = 50;

/** Asks until the answer is neither null nor false, or `limitMs` have passed: then null. */
export async function waitFor<T>(ask: () => Promise<T | null | false>, limitMs: number): Promise<T | null> {
  const end = performance.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null && answer !== false) return answer;
    if (performance.now() >= end) return null;
    await delay(STEP_MS);
  }
}
