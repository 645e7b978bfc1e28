/** Program headers of an ELF64 executable as execve(2) reads them. */
import type { FileContent } from '../files/node.js';
import { E, fail } from '../base/errno.js';
import { nameOf } from '../../engine/base/names.js';
import { ElfFile, PT_LOAD, type ElfSegment } from '../../engine/symbols/elf.js';

const PT_INTERP = 3;
const PT_GNU_STACK = 0x6474_e551;
const ET_EXEC = 2;
const ET_DYN = 3;
const MAX_SEGMENTS = 128;

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

/** @throws ENOEXEC unless the file is an executable for x86-64 */
export function readElf(file: FileContent): ElfImage {
  const elf = ElfFile.open({ size: file.stat().size, read: file.read.bind(file) }) ?? fail(E.ENOEXEC);
  const { type, entry, segments, headersAt, headerCount } = elf;
  if ((type !== ET_EXEC && type !== ET_DYN) || !Number.isSafeInteger(entry)) fail(E.ENOEXEC);
  // The parser leaves broken ones out.
  if (headerCount < 1 || headerCount > MAX_SEGMENTS || segments.length !== headerCount) fail(E.ENOEXEC);
  const named = segments.find((segment) => segment.type === PT_INTERP);
  const stack = segments.find((segment) => segment.type === PT_GNU_STACK);
  return {
    movable: type === ET_DYN,
    entry,
    headersAt,
    headerCount,
    segments: segments.filter((segment) => segment.type === PT_LOAD && segment.memorySize > 0),
    interpreter: named ? interpreterOf(file, named) : null,
    executableStack: stack === undefined || (stack.flags & 1) !== 0,
  };
}

function interpreterOf(file: FileContent, { offset, fileSize }: ElfSegment): string {
  if (fileSize < 2 || fileSize > 4096) fail(E.ENOEXEC);
  const bytes = new Uint8Array(fileSize);
  for (let done = 0; done < fileSize;) {
    const count = file.read(offset + done, bytes.subarray(done));
    if (count <= 0) fail(E.ENOEXEC);
    done += count;
  }
  return nameOf(bytes.subarray(0, fileSize - 1));
}
