/**
 * Work begun ahead of who takes its results.
 */

/**
 * The results of `start` for each of the works, in their order, of which up to `depth` are under way at once. Whoever takes no more results
 * waits for those under way; what they come to then is nobody's.
 */
export async function* ahead<Work, T>(
  works: Iterable<Work>,
  depth: number,
  start: (work: Work) => Promise<T>,
): AsyncGenerator<T> {
  const underWay: Promise<T>[] = [];
  const left = works[Symbol.iterator]();
  const begin = () => {
    const next = left.next();
    if (next.done) return;
    const job = start(next.value);
    // Its failure is told when its turn comes, which may be never.
    job.catch(() => {});
    underWay.push(job);
  };
  try {
    for (let i = 0; i < depth; i++) begin();
    for (let next = underWay.shift(); next; next = underWay.shift()) {
      yield await next;
      begin();
    }
  } finally {
    await Promise.allSettled(underWay);
  }
}
