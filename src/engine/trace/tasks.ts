import { textOf } from './bytes.js';
import type { Message } from './capnp.js';
import { Elements, ListRef, StructRef } from './capnp.js';
import type { TaskEventRecord } from './records.js';

/** `tasks`: one record for each task that appears, execs, exits or is detached. */

const root = new StructRef();
const pac = new StructRef();
const list = new ListRef();
const inner = new ListRef();
const EMPTY = new Uint8Array(0);

/** Decodes the current message. Errors: E_TRACE_CORRUPT. */
export function decodeTaskEvent(message: Message): TaskEventRecord {
  message.root(root);
  const frameTime = message.uint53(root, 0, 'frameTime');
  const tid = message.i32(root, 8);
  if (tid <= 0) message.fail(`tid is ${tid}`);
  const tag = message.u16(root, 24);
  switch (tag) {
    case 0: {
      const parentTid = message.i32(root, 12);
      return {
        frameTime,
        tid,
        kind: 'clone',
        parentTid,
        flags: message.i32(root, 16),
        ownNsTid: message.i32(root, 20),
      };
    }
    case 1:
      return {
        frameTime,
        tid,
        kind: 'exec',
        fileName: text(message, 0),
        cmdLine: texts(message, 1),
        exeBase: message.u64(root, 16),
        interpBase: message.u64(root, 32),
        interpName: text(message, 2),
        pacData: message.struct(root, 3, pac) ? message.data(pac, 0, list) : EMPTY,
      };
    case 2:
      return { frameTime, tid, kind: 'exit', exitStatus: message.i32(root, 12) };
    case 3:
      return { frameTime, tid, kind: 'detach' };
    default:
      return message.fail(`the task event ${tag} is not defined`);
  }
}

function text(message: Message, pointer: number): string {
  message.list(root, pointer, Elements.bytes, list);
  return textOf(message, list);
}

function texts(message: Message, pointer: number): string[] {
  message.list(root, pointer, Elements.pointers, list);
  const all: string[] = [];
  for (let i = 0; i < list.count; i++) {
    message.elementData(list, i, inner);
    all.push(textOf(message, inner));
  }
  return all;
}
