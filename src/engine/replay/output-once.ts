type Sink = (stream: 1 | 2, bytes: Uint8Array) => void;

/** The program's output, each byte once, also where a replay went back and writes it again. */
export class OutputOnce {
  /** Bytes written to standard output and error up to the replay's position. */
  private readonly produced: [number, number] = [0, 0];
  /** Bytes handed on. */
  private readonly emitted: [number, number] = [0, 0];

  constructor(private readonly sink: Sink) {}

  get written(): readonly [number, number] {
    return [...this.produced];
  }

  write(stream: 1 | 2, bytes: Uint8Array): void {
    const index = stream - 1;
    const repeated = Math.min(bytes.length, this.emitted[index] - this.produced[index]);
    this.produced[index] += bytes.length;
    if (repeated === bytes.length) return;
    this.emitted[index] = this.produced[index];
    this.sink(stream, repeated === 0 ? bytes : bytes.subarray(repeated));
  }

  /** Output after this position is written again when the replay reaches it again. */
  repeat(): void {
    for (const index of [0, 1] as const) this.emitted[index] = this.produced[index];
  }

  /** The replay jumped to where it had `written` this. Output that was skipped is not written. */
  rewind(written: readonly [number, number]): void {
    for (const index of [0, 1] as const) {
      this.produced[index] = written[index];
      this.emitted[index] = Math.max(this.emitted[index], written[index]);
    }
  }
}
