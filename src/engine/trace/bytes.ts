import type { ListRef, Message } from './capnp.js';

/** Text of a list of bytes. File names need not be UTF-8; what is not is shown as U+FFFD. */
export function textOf(message: Message, list: ListRef): string {
  if (list.count === 0) return '';
  return Buffer.from(message.bytes.buffer as ArrayBuffer, list.start * 4, list.count).toString('utf8');
}
