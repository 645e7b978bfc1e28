import { nameOf } from '../base/names.js';
import type { ListRef, Message } from './capnp.js';

/** Text of a list of bytes: file names and arguments, which need not be UTF-8. */
export function textOf(message: Message, list: ListRef): string {
  return list.count === 0 ? '' : nameOf(message.bytesOf(list));
}
