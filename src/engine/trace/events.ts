import type { Message } from './capnp.js';
import { Elements, ListRef, StructRef } from './capnp.js';
import { textOf } from './bytes.js';
import type { MemWrite, OpenedFd, SyscallExtra, TraceFrame } from './frame.js';
import { Arch, EventKind } from './frame.js';
import { readRegisters } from './register-image.js';

/**
 * `events`: one message a frame, decoded into frames that are refilled. Positions of fields are
 * those of rr's schema for version 85; the data section's byte offsets are written out here.
 */

const NO_EXTRA: SyscallExtra = { kind: 'none' };
const NO_HOLES: number[] = [];
const SIGINFO_BYTES = 128;
const SOCKADDR_BYTES = 128;
const MPROTECT_RECORD_BYTES = 24;
/** Larger than any XSAVE area in standard form (AMX: 11,008 bytes). */
const MAX_EXTRA_REGISTERS_BYTES = 1 << 14;
const LAST_KIND = EventKind.patchTrappingInstruction;

/** Kinds whose frames carry registers; the engine relies on it. */
const HAS_REGISTERS: readonly boolean[] = Array.from({ length: LAST_KIND + 1 }, (_, kind) => {
  const without: number[] = [
    EventKind.syscallbufFlush,
    EventKind.syscallbufReset,
    EventKind.syscallbufAbortCommit,
    EventKind.growMap,
    EventKind.exit,
  ];
  return !without.includes(kind);
});

/** What the first words of a frame's message say. */
export class FrameHead {
  /** Words that it needs of a message's first segment: root pointer, and 32 bytes of the data section. */
  static readonly words = 5;

  arch: number = Arch.x8664;
  kind: number = EventKind.instructionTrap;
  /** Of kind syscall. */
  syscallArch: number = Arch.x8664;
  syscallState = 0;
  syscallNumber = 0;

  /** False if the message is not laid out as by rr's writer, which begins with the root: it has to be decoded. */
  read({ words, segmentStart, segmentEnd }: Message): boolean {
    const root = segmentStart[0];
    if (segmentEnd[0] - root < 2 * FrameHead.words) return false;
    if (words[root] !== 0 || (words[root + 1] & 0xffff) < FrameHead.words - 1) return false;
    const data = root + 2;
    this.arch = words[data + 1] & 0xffff;
    this.kind = words[data + 1] >>> 16;
    this.syscallArch = words[data + 6] & 0xffff;
    this.syscallState = words[data + 6] >>> 16;
    this.syscallNumber = words[data + 7] | 0;
    return true;
  }
}

/** Fills frames from messages. One decoder serves one stream of messages. */
export class FrameDecoder {
  readonly #root = new StructRef();
  readonly #child = new StructRef();
  readonly #list = new ListRef();
  readonly #inner = new ListRef();

  /** @param extraRegistersBytes Size of XSAVE images by the recorded CPUID; 0 = unknown. */
  constructor(
    readonly message: Message,
    readonly extraRegistersBytes: number,
  ) {}

  /** Decodes the current message. `dataStart`: cursor of the `data` stream before this frame. */
  decode(frame: TraceFrame, frameTime: number, dataStart: number): void {
    const { message } = this;
    const root = this.#root;
    message.root(root);
    frame.frameTime = frameTime;
    frame.tid = message.i32(root, 0);
    if (frame.tid <= 0) message.fail(`tid is ${frame.tid}`);
    frame.arch = message.u16(root, 4);
    if (frame.arch > Arch.x8664) message.fail(`arch is ${frame.arch}, neither i386 nor x86-64`);
    frame.ticks = message.uint53(root, 8, 'ticks');
    frame.monotonicSec = message.f64(root, 16);
    this.#memWrites(frame, dataStart);
    this.#registers(frame);
    this.#event(frame);
  }

  #memWrites(frame: TraceFrame, dataStart: number): void {
    const { message } = this;
    const list = this.#list;
    const ref = this.#child;
    message.list(this.#root, 0, Elements.structs, list);
    frame.memWriteCount = list.count;
    let cursor = dataStart;
    for (let i = 0; i < list.count; i++) {
      let write = frame.memWrites[i];
      if (write === undefined) frame.memWrites.push((write = newMemWrite()));
      message.element(list, i, ref);
      write.tid = message.i32(ref, 0);
      write.sizeIsConservative = message.bit(ref, 32);
      write.addressLow = message.u32(ref, 8);
      write.addressHigh = message.u32(ref, 12);
      write.size = message.uint53(ref, 16, 'the size of a memory write');
      write.dataOffset = cursor;
      this.#holes(write, ref);
      cursor += write.size - write.holeBytes;
      if (!Number.isSafeInteger(cursor))
        message.fail('the sizes of memory writes add up to more than any file');
    }
    frame.dataEnd = cursor;
  }

  #holes(write: MemWrite, ref: StructRef): void {
    const { message } = this;
    const list = this.#inner;
    write.holes = NO_HOLES;
    write.holeBytes = 0;
    message.list(ref, 0, Elements.structs, list);
    if (list.count === 0) return;
    write.holes = [];
    let end = 0;
    for (let i = 0; i < list.count; i++) {
      message.element(list, i, ref);
      const offset = message.uint53(ref, 0, 'the offset of a hole');
      const size = message.uint53(ref, 8, 'the size of a hole');
      if (offset < end || offset + size > write.size)
        message.fail('the holes of a memory write overlap or exceed it');
      end = offset + size;
      write.holes.push(offset, size);
      write.holeBytes += size;
    }
  }

  #registers(frame: TraceFrame): void {
    const { message } = this;
    const list = this.#list;
    frame.hasRegisters = false;
    if (message.struct(this.#root, 1, this.#child)) {
      message.list(this.#child, 0, Elements.bytes, list);
      frame.hasRegisters = list.count > 0;
      if (frame.hasRegisters) readRegisters(message, list, frame.arch, frame.registers);
    }
    frame.extraRegisters = null;
    if (!message.struct(this.#root, 2, this.#child)) return;
    message.list(this.#child, 0, Elements.bytes, list);
    if (list.count === 0) return;
    const expected = this.extraRegistersBytes;
    if (list.count > MAX_EXTRA_REGISTERS_BYTES || (expected !== 0 && list.count !== expected)) {
      message.fail(`extra registers have ${list.count} bytes, expected ${expected} by the recorded CPUID`);
    }
    frame.extraRegisters = message.bytesOf(list).slice();
  }

  #event(frame: TraceFrame): void {
    const { message } = this;
    const root = this.#root;
    const kind = message.u16(root, 6);
    if (kind > LAST_KIND) message.fail(`event kind ${kind} is not defined`);
    frame.kind = kind as EventKind;
    if (HAS_REGISTERS[kind] && !frame.hasRegisters) message.fail(`an event of kind ${kind} has no registers`);
    switch (kind) {
      case EventKind.syscall:
        this.#syscall(frame);
        break;
      case EventKind.signal:
      case EventKind.signalDelivery:
      case EventKind.signalHandler:
        this.#signal(frame);
        break;
      case EventKind.syscallbufFlush:
        frame.mprotectRecords = message.data(root, 3, this.#list);
        if (frame.mprotectRecords.length % MPROTECT_RECORD_BYTES !== 0)
          message.fail('mprotect records are cut off');
        break;
      case EventKind.sched:
        frame.inSyscallbufSyscallHook = message.u64(root, 48);
        break;
    }
  }

  #syscall(frame: TraceFrame): void {
    const { message } = this;
    const root = this.#root;
    frame.syscallArch = message.u16(root, 24);
    if (frame.syscallArch > Arch.x8664) message.fail(`the arch of a system call is ${frame.syscallArch}`);
    frame.syscallState = message.u16(root, 26);
    if (frame.syscallState > 2) message.fail(`the state of a system call is ${frame.syscallState}`);
    frame.syscallNumber = message.i32(root, 28);
    frame.failedDuringPreparation = message.bit(root, 256);
    const tag = message.u16(root, 34);
    frame.extra = tag === 0 ? NO_EXTRA : this.#extra(tag);
  }

  #extra(tag: number): SyscallExtra {
    const { message } = this;
    const root = this.#root;
    switch (tag) {
      case 1:
        return { kind: 'writeOffset', offset: BigInt.asIntN(64, message.u64(root, 40)) };
      case 2:
        return { kind: 'execFdsToClose', fds: this.#int32List(3) };
      case 3:
        return { kind: 'openedFds', fds: this.#openedFds() };
      case 4:
        return { kind: 'socketAddrs', local: this.#socketAddress(3), remote: this.#socketAddress(4) };
      case 5:
        return { kind: 'madviseRanges', ranges: this.#ranges() };
      default:
        return message.fail(`the extra information ${tag} of a system call is not defined`);
    }
  }

  #int32List(pointer: number): number[] {
    const list = this.#list;
    this.message.list(this.#root, pointer, Elements.int32, list);
    return Array.from({ length: list.count }, (_, i) => this.message.words[list.start + i] | 0);
  }

  #openedFds(): OpenedFd[] {
    const { message } = this;
    const ref = this.#child;
    const list = this.#list;
    message.list(this.#root, 3, Elements.structs, list);
    const fds: OpenedFd[] = [];
    for (let i = 0; i < list.count; i++) {
      message.element(list, i, ref);
      message.list(ref, 0, Elements.bytes, this.#inner);
      const path = textOf(message, this.#inner);
      fds.push({ fd: message.i32(ref, 0), device: message.u64(ref, 8), inode: message.u64(ref, 16), path });
    }
    return fds;
  }

  #socketAddress(pointer: number): Uint8Array {
    const address = this.message.data(this.#root, pointer, this.#list);
    if (address.length > SOCKADDR_BYTES) this.message.fail(`a socket address has ${address.length} bytes`);
    return address;
  }

  #ranges(): { start: bigint; end: bigint }[] {
    const { message } = this;
    const ref = this.#child;
    const list = this.#list;
    message.list(this.#root, 3, Elements.structs, list);
    const ranges: { start: bigint; end: bigint }[] = [];
    for (let i = 0; i < list.count; i++) {
      message.element(list, i, ref);
      ranges.push({ start: message.u64(ref, 0), end: message.u64(ref, 8) });
    }
    return ranges;
  }

  #signal(frame: TraceFrame): void {
    const { message } = this;
    const ref = this.#child;
    if (!message.struct(this.#root, 3, ref)) message.fail('a signal event has no signal');
    frame.siginfoArch = message.u16(ref, 0);
    if (frame.siginfoArch > Arch.x8664) message.fail(`the arch of a siginfo is ${frame.siginfoArch}`);
    frame.deterministic = message.bit(ref, 16);
    frame.disposition = message.u16(ref, 4);
    if (frame.disposition > 2) message.fail(`the disposition of a signal is ${frame.disposition}`);
    const list = this.#list;
    message.list(ref, 0, Elements.bytes, list);
    if (list.count !== SIGINFO_BYTES) message.fail(`a siginfo has ${list.count} bytes, not ${SIGINFO_BYTES}`);
    if (frame.siginfo.length !== SIGINFO_BYTES) frame.siginfo = new Uint8Array(SIGINFO_BYTES);
    frame.siginfo.set(message.bytesOf(list));
  }
}

function newMemWrite(): MemWrite {
  return {
    tid: 0,
    addressLow: 0,
    addressHigh: 0,
    size: 0,
    sizeIsConservative: false,
    holes: NO_HOLES,
    holeBytes: 0,
    dataOffset: 0,
  };
}
