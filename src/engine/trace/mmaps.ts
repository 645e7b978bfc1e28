import { PAGE_SIZE, USER_END } from '../base/address.js';
import { textOf } from './bytes.js';
import type { Message } from './capnp.js';
import { Elements, ListRef, StructRef } from './capnp.js';
import type { MMapRecord, MMapSource } from './records.js';

/** `mmaps`: one record a mapping that replay has to make, in the order in which frames need them. */

const root = new StructRef();
const child = new StructRef();
const list = new ListRef();

/** Decodes the current message. Errors: E_TRACE_CORRUPT, also for ranges outside user space. */
export function decodeMMap(message: Message): MMapRecord {
  message.root(root);
  const start = message.uint53(root, 8, 'start');
  const end = message.uint53(root, 16, 'end');
  if (start > end || end > USER_END || start % PAGE_SIZE !== 0 || end % PAGE_SIZE !== 0) {
    message.fail(
      `the range 0x${start.toString(16)}-0x${end.toString(16)} is not a range of pages in user space`,
    );
  }
  const fileOffsetBytes = message.uint53(root, 48, 'fileOffsetBytes');
  if (fileOffsetBytes % PAGE_SIZE !== 0 || !Number.isSafeInteger(fileOffsetBytes + (end - start))) {
    message.fail(`the file offset 0x${fileOffsetBytes.toString(16)} is not a valid offset of a mapping`);
  }
  return {
    frameTime: message.uint53(root, 0, 'frameTime'),
    start,
    end,
    fsname: text(message, 0),
    device: message.u64(root, 24),
    inode: message.u64(root, 32),
    prot: message.i32(root, 40),
    flags: message.i32(root, 44),
    fileOffsetBytes,
    statMode: message.u32(root, 56),
    statUid: message.u32(root, 60),
    statGid: message.u32(root, 64),
    statSize: message.uint53(root, 72, 'statSize'),
    statMTime: message.int64(root, 80, 'statMTime'),
    source: source(message),
    extraFds: extraFds(message),
    skipMonitoringMappedFd: message.bit(root, 560),
  };
}

function text(message: Message, pointer: number): string {
  message.list(root, pointer, Elements.bytes, list);
  return textOf(message, list);
}

function source(message: Message): MMapSource {
  const tag = message.u16(root, 68);
  if (tag === 0) return { kind: 'zero' };
  if (tag === 1) return { kind: 'trace' };
  if (tag === 2) return { kind: 'file', backingFileName: text(message, 1) };
  return message.fail(`the source ${tag} of a mapping is not defined`);
}

function extraFds(message: Message): { tid: number; fd: number }[] {
  message.list(root, 2, Elements.structs, list);
  const fds: { tid: number; fd: number }[] = [];
  for (let i = 0; i < list.count; i++) {
    message.element(list, i, child);
    fds.push({ tid: message.i32(child, 0), fd: message.i32(child, 4) });
  }
  return fds;
}
