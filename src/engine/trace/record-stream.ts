import type { Message } from './capnp.js';
import type { MessageStream } from './messages.js';

/** A stream of records that frames consume, one decoded ahead. */
export class RecordStream<T extends { frameTime: number }> {
  #ahead: T | null | undefined;
  #lastTime = 0;
  /** Nothing is read after what could not be decoded. */
  #failure: unknown = null;

  constructor(
    readonly messages: MessageStream,
    readonly decode: (message: Message) => T,
  ) {}

  /** The next record without consuming it; null at the end. */
  peek(): T | null {
    if (this.#failure !== null) throw this.#failure;
    if (this.#ahead !== undefined) return this.#ahead;
    try {
      return (this.#ahead = this.#read());
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  /** Consumes the next record; null at the end. */
  next(): T | null {
    const record = this.peek();
    if (record !== null) this.#ahead = undefined;
    return record;
  }

  #read(): T | null {
    if (!this.messages.next()) return null;
    const record = this.decode(this.messages.message);
    if (record.frameTime < this.#lastTime) {
      this.messages.fail(
        `it belongs to frame ${record.frameTime}, the one before it to frame ${this.#lastTime}`,
      );
    }
    this.#lastTime = record.frameTime;
    return record;
  }
}
