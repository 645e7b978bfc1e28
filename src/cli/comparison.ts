/** Compares a stream with its expected content, without storing it. */
export class Comparison {
  #size = 0;
  #differsAt = -1;

  constructor(private readonly expected: Uint8Array) {}

  add(bytes: Uint8Array): void {
    if (this.#differsAt < 0) {
      const expected = this.expected.subarray(this.#size, this.#size + bytes.length);
      const at = firstDifference(expected, bytes);
      if (at >= 0) this.#differsAt = this.#size + at;
    }
    this.#size += bytes.length;
  }

  /** Why the stream is not as expected, or null; call at its end. */
  problem(): string | null {
    const at = this.#differsAt < 0 && this.#size < this.expected.length ? this.#size : this.#differsAt;
    if (at < 0) return null;
    return `output differs at byte ${at} (${this.#size} bytes, expected ${this.expected.length})`;
  }
}

/** Index of the first byte where the two differ, lengths included; -1 when they are equal. */
function firstDifference(left: Uint8Array, right: Uint8Array): number {
  if (Buffer.compare(left, right) === 0) return -1;
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index++) if (left[index] !== right[index]) return index;
  return length;
}
