/**
 * The descriptors that replay must know: those that lead to the recorded terminal or pipe, so that
 * what was written there can be shown. Descriptors are not real at replay (notes 6.5).
 */
export class FdTable {
  private readonly streams: Map<number, 1 | 2>;
  users = 0;

  constructor(
    streams: Iterable<readonly [number, 1 | 2]> = [
      [1, 1],
      [2, 2],
    ],
  ) {
    this.streams = new Map(streams);
  }

  /** Which of our own streams a write to `fd` is echoed to, or null. */
  streamOf(fd: number): 1 | 2 | null {
    return this.streams.get(fd) ?? null;
  }

  attach(fd: number, stream: 1 | 2): void {
    this.streams.set(fd, stream);
  }

  close(fd: number): void {
    this.streams.delete(fd);
  }

  /** dup of any kind: `to` becomes what `from` is. */
  duplicate(from: number, to: number): void {
    if (from === to) return;
    const stream = this.streams.get(from);
    if (stream === undefined) this.streams.delete(to);
    else this.streams.set(to, stream);
  }

  clone(): FdTable {
    return new FdTable(this.streams);
  }
}
