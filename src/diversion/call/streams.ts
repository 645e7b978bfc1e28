/** Text in buffers of C and C++ libraries, found by reading the program's memory. */
import { offsetBy, gva, type Gva } from '../../engine/base/address.js';

/** Reads all of the bytes at an address of the program's, or null. */
export type ReadBytes = (at: Gva, size: number) => Uint8Array | null;

/** An output stream with unflushed text. */
export interface UnwrittenStream {
  /** A FILE or std::ostream. */
  readonly at: Gva;
  /** The name of the function that writes it out; its argument is `at`. */
  readonly flush: string;
  /** null: not known. */
  readonly fd: number | null;
  /** Where the text is. */
  readonly start: Gva;
  readonly end: Gva;
  /** Bytes of a character. */
  readonly width: 1 | 4;
  /** A thread is at work with it. */
  readonly isLocked: boolean;
}

/**
 * struct _IO_FILE of glibc on x86-64 (libio/bits/types/struct_FILE.h), which is part of its binary interface, and what of
 * struct _IO_wide_data and _IO_lock_t is read here.
 */
const File = {
  magic: 2,
  writeBase: 32,
  chain: 104,
  fileno: 112,
  lock: 136,
  wideData: 160,
  mode: 192,
  bytes: 216,
} as const;
const WideData = { writeBase: 24, bytes: 40 } as const;
const MAGIC = 0xfbad;
const MOST_FILES = 4096;
const MOST_TEXT = 1 << 20;

/** Streams of glibc, by where its list of them begins: what `_IO_list_all` names. */
export function unwrittenFiles(read: ReadBytes, listAll: Gva): UnwrittenStream[] {
  const found: UnwrittenStream[] = [];
  let at = pointer(read, listAll);
  for (let count = 0; at !== 0 && count < MOST_FILES; count++) {
    const view = viewOf(read(at, File.bytes));
    if (!view || view.getUint16(File.magic, true) !== MAGIC) break;
    const wide = view.getInt32(File.mode, true) > 0;
    const text = wide ? wideText(read, address(view, File.wideData)) : textAt(view, File.writeBase);
    if (text) {
      const lock = address(view, File.lock);
      const held = lock === 0 ? null : read(lock, 4);
      found.push({
        at,
        flush: 'fflush',
        fd: view.getInt32(File.fileno, true),
        ...text,
        width: wide ? 4 : 1,
        isLocked: held?.some((byte) => byte !== 0) ?? false,
      });
    }
    at = address(view, File.chain);
  }
  return found;
}

function wideText(read: ReadBytes, at: Gva): Text | null {
  const view = viewOf(read(at, WideData.bytes));
  return view && textAt(view, WideData.writeBase);
}

/**
 * libstdc++'s std::ostream: the offset of its basic_ios is the third word before the vtable
 * (Itanium C++ ABI, 2.5.2), which has its buffer at this offset; a std::streambuf has the ends of
 * its text at these offsets.
 */
const VBASE_OFFSET = -24;
const STREAMBUF = 232;
const StreamBuffer = { base: 32, bytes: 48 } as const;

/** Streams of libstdc++, which are buffered after `std::ios::sync_with_stdio(false)`; else they are not. */
export const CXX_STREAMS = [
  { name: '_ZSt4cout', flush: '_ZNSo5flushEv', fd: 1, width: 1 },
  { name: '_ZSt4clog', flush: '_ZNSo5flushEv', fd: 2, width: 1 },
  { name: '_ZSt5wcout', flush: '_ZNSt13basic_ostreamIwSt11char_traitsIwEE5flushEv', fd: 1, width: 4 },
  { name: '_ZSt5wclog', flush: '_ZNSt13basic_ostreamIwSt11char_traitsIwEE5flushEv', fd: 2, width: 4 },
] as const;

/** The text of one of them, or null: there is none. */
export function unwrittenText(
  read: ReadBytes,
  at: Gva,
  { flush, fd, width }: (typeof CXX_STREAMS)[number],
): UnwrittenStream | null {
  const vtable = pointer(read, at);
  const offset = viewOf(read(offsetBy(vtable, VBASE_OFFSET), 8))?.getBigInt64(0, true);
  if (vtable === 0 || offset === undefined) return null;
  const buffer = pointer(read, offsetBy(at, Number(offset) + STREAMBUF));
  const view = buffer === 0 ? null : viewOf(read(buffer, StreamBuffer.bytes));
  const text = view && textAt(view, StreamBuffer.base);
  return text && { at, flush, fd, ...text, width, isLocked: false };
}

interface Text {
  readonly start: Gva;
  readonly end: Gva;
}

/** Two consecutive pointers; null if nothing is between them. */
function textAt(view: DataView, offset: number): Text | null {
  const [start, end] = [address(view, offset), address(view, offset + 8)];
  return start !== 0 && start < end && end - start <= MOST_TEXT ? { start, end } : null;
}

const pointer = (read: ReadBytes, at: Gva): Gva => {
  const view = viewOf(read(at, 8));
  return view ? address(view, 0) : gva(0);
};

/** Values that are not user addresses are none. */
function address(view: DataView, offset: number): Gva {
  const value = view.getBigUint64(offset, true);
  return gva(value < 1n << 47n ? Number(value) : 0);
}

const viewOf = (bytes: Uint8Array | null): DataView | null =>
  bytes && new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
