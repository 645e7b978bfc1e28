import { createHash } from 'node:crypto';

/** What is kept of a stream's content. */
export const KEPT_BYTES = 1024 ** 2;

/** What a program wrote to one descriptor. */
export interface StreamFacts {
  bytes: number;
  sha256: string;
  /** The beginning. */
  base64: string;
  truncated: boolean;
}

/** Collects what a program writes: size, SHA-256 and the first MiB. */
export class StreamCapture {
  #size = 0;
  readonly #hash = createHash('sha256');
  readonly #kept: Buffer[] = [];
  #keptBytes = 0;

  add(bytes: Uint8Array): void {
    this.#size += bytes.length;
    this.#hash.update(bytes);
    const room = Math.min(bytes.length, KEPT_BYTES - this.#keptBytes);
    if (room <= 0) return;
    this.#kept.push(Buffer.from(bytes.subarray(0, room)));
    this.#keptBytes += room;
  }

  /** Ends the capture. */
  facts(): StreamFacts {
    return {
      bytes: this.#size,
      sha256: this.#hash.digest('hex'),
      base64: Buffer.concat(this.#kept).toString('base64'),
      truncated: this.#size > this.#keptBytes,
    };
  }
}
