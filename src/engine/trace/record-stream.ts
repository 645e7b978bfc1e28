import type { Message } from './capnp.js';
import { newMessagePosition, type MessagePosition, type MessageStream } from './messages.js';

/** A position in a stream of records. Plain data. */
export interface RecordPosition {
  readonly at: Readonly<MessagePosition>;
  readonly lastTime: number;
}

/** A stream of records that frames consume, one decoded ahead. */
export class RecordStream<T extends { frameTime: number }> {
  #ahead: T | null | undefined;
  #lastTime = 0;
  /** Before the record that is decoded ahead. */
  #before: RecordPosition | null = null;
  /** Nothing is read after a record that could not be decoded. */
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

  /** Where the next record starts. */
  save(): RecordPosition {
    if (this.#ahead !== undefined && this.#before) return this.#before;
    return { at: this.messages.save(newMessagePosition()), lastTime: this.#lastTime };
  }

  /** Goes back to a position of the same stream. */
  restore(position: RecordPosition): void {
    this.#ahead = undefined;
    this.#failure = null;
    this.#lastTime = position.lastTime;
    this.messages.restore(position.at);
  }

  #read(): T | null {
    this.#before = { at: this.messages.save(newMessagePosition()), lastTime: this.#lastTime };
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
