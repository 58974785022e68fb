/**
 * Work begun ahead of who takes its results.
 */

/**
 * The results of `start(0)`, `start(1)` … `start(count - 1)`, in that order, of which up to `depth` are under way at once. Whoever takes no
 * more results waits for those under way; what they come to then is nobody's.
 */
export async function* ahead<T>(
  count: number,
  depth: number,
  start: (index: number) => Promise<T>,
): AsyncGenerator<T> {
  const underWay: Promise<T>[] = [];
  let begun = 0;
  const begin = () => {
    const job = start(begun++);
    // Its failure is told when its turn comes, which may be never.
    job.catch(() => {});
    underWay.push(job);
  };
  try {
    while (begun < count && underWay.length < depth) begin();
    for (let next = underWay.shift(); next; next = underWay.shift()) {
      yield await next;
      if (begun < count) begin();
    }
  } finally {
    await Promise.allSettled(underWay);
  }
}
