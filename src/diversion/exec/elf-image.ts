/** Program headers of an ELF64 executable as execve(2) reads them. */
import type { FileContent } from '../files/node.js';
import { E, fail } from '../errno.js';
import { nameOf } from '../../engine/base/names.js';

export const PT_LOAD = 1;
export const PT_INTERP = 3;
const PT_GNU_STACK = 0x6474_e551;
const ET_EXEC = 2;
const ET_DYN = 3;
const MACHINE_X86_64 = 62;
const HEADER_BYTES = 64;
const SEGMENT_BYTES = 56;
const MAX_SEGMENTS = 128;

export interface ElfSegment {
  readonly type: number;
  /** PF_X 1, PF_W 2, PF_R 4. */
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

export interface ElfImage {
  /** It may be loaded anywhere. */
  readonly movable: boolean;
  readonly entry: number;
  /** Offset and number of program headers, for the auxiliary vector. */
  readonly headersAt: number;
  readonly headerCount: number;
  readonly segments: readonly ElfSegment[];
  /** Path of the dynamic linker; null: a static program. */
  readonly interpreter: string | null;
  readonly executableStack: boolean;
}

function readAt(file: FileContent, offset: number, size: number): DataView {
  const bytes = new Uint8Array(size);
  let done = 0;
  while (done < size) {
    const count = file.read(offset + done, bytes.subarray(done));
    if (count <= 0) fail(E.ENOEXEC);
    done += count;
  }
  return new DataView(bytes.buffer);
}

const word = (view: DataView, offset: number): number => {
  const value = Number(view.getBigUint64(offset, true));
  return Number.isSafeInteger(value) ? value : fail(E.ENOEXEC);
};

/** @throws ENOEXEC unless the file is an executable for x86-64 */
export function readElf(file: FileContent): ElfImage {
  const header = readAt(file, 0, HEADER_BYTES);
  if (header.getUint32(0, false) !== 0x7f45_4c46 || header.getUint8(4) !== 2) fail(E.ENOEXEC);
  const type = header.getUint16(16, true);
  if ((type !== ET_EXEC && type !== ET_DYN) || header.getUint16(18, true) !== MACHINE_X86_64) fail(E.ENOEXEC);
  const count = header.getUint16(56, true);
  if (header.getUint16(54, true) !== SEGMENT_BYTES || count < 1 || count > MAX_SEGMENTS) fail(E.ENOEXEC);
  const headersAt = word(header, 32);
  const table = readAt(file, headersAt, count * SEGMENT_BYTES);
  const segments = Array.from({ length: count }, (_, index) => {
    const at = index * SEGMENT_BYTES;
    return {
      type: table.getUint32(at, true),
      flags: table.getUint32(at + 4, true),
      offset: word(table, at + 8),
      address: word(table, at + 16),
      fileSize: word(table, at + 32),
      memorySize: word(table, at + 40),
    };
  });
  const named = segments.find((segment) => segment.type === PT_INTERP);
  const stack = segments.find((segment) => segment.type === PT_GNU_STACK);
  return {
    movable: type === ET_DYN,
    entry: word(header, 24),
    headersAt,
    headerCount: count,
    segments: segments.filter((segment) => segment.type === PT_LOAD && segment.memorySize > 0),
    interpreter: named ? interpreterOf(file, named) : null,
    executableStack: stack === undefined || (stack.flags & 1) !== 0,
  };
}

function interpreterOf(file: FileContent, { offset, fileSize }: ElfSegment): string {
  if (fileSize < 2 || fileSize > 4096) fail(E.ENOEXEC);
  const bytes = new Uint8Array(readAt(file, offset, fileSize).buffer);
  return nameOf(bytes.subarray(0, fileSize - 1));
}
