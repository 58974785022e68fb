/** xorshift32: the same numbers for the same seed. */
export class Random {
  #x: number;
  constructor(seed: number) {
    this.#x = seed | 0 || 1;
  }
  below(n: number): number {
    this.#x ^= this.#x << 13;
    this.#x ^= this.#x >>> 17;
    this.#x ^= this.#x << 5;
    return Math.floor(((this.#x >>> 0) * n) / 2 ** 32);
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}
