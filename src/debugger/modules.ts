/**
 * The programs and libraries that a process has loaded: what is mapped, and where the dynamic linker has listed it, the
 * places of its entries (System V ABI, "Program Header"; link.h: r_debug, link_map).
 */
import { USER_END } from '../engine/base/address.js';
import { memoryOf, readView } from '../engine/base/memory-values.js';
import type { DebugTarget } from '../engine/target.js';
import { Prot } from '../engine/mm/vma.js';
import { auxiliary, AT_PHDR, programOf } from './program.js';

export interface LoadedModule {
  /** As recorded. */
  readonly path: string;
  /** What is added to the file's addresses. */
  readonly bias: number;
  /** Address of its dynamic section; 0: none. */
  readonly dynamic: number;
  /** Address of its entry in the dynamic linker's list; 0: not in it, or not yet. */
  readonly linkMap: number;
  readonly isProgram: boolean;
}

const ELF_MAGIC = 0x464c457f;
const EHDR_BYTES = 64;
const PHDR_BYTES = 56;
const PT = { load: 1, dynamic: 2, phdr: 6 } as const;
const DT_DEBUG = 21;
const DYNAMIC_BYTES = 16;
/** Limits of headers, entries and libraries: more are not plausible. */
const [MOST_HEADERS, MOST_ENTRIES, MOST_LIBRARIES] = [64, 256, 4096];

type Read = (address: number, length: number) => DataView | null;

function reader(target: DebugTarget, tid: number): Read {
  const memory = memoryOf(target, tid);
  return (address, length) => (address === 0 ? null : readView(memory, address, length));
}

/** A 64-bit value that is an address of the program, else 0. */
function addressAt(view: DataView, offset: number): number {
  const value = view.getBigUint64(offset, true);
  return value < BigInt(USER_END) ? Number(value) : 0;
}

interface Placement {
  readonly bias: number;
  readonly dynamic: number;
}

/**
 * What program headers in memory say.
 * @param start where the file's first byte is mapped; null: that follows from PT_PHDR, which is at `headers`
 */
function placement(read: Read, headers: number, count: number, start: number | null): Placement | null {
  const view = read(headers, Math.min(count, MOST_HEADERS) * PHDR_BYTES);
  if (!view) return null;
  let [bias, dynamic]: (number | null)[] = [null, null];
  for (let at = 0; at < view.byteLength; at += PHDR_BYTES) {
    const type = view.getUint32(at, true);
    const [offset, address] = [addressAt(view, at + 8), addressAt(view, at + 16)];
    if (type === PT.load && start !== null) bias ??= start - (address - offset);
    if (type === PT.phdr && start === null) bias = headers - address;
    if (type === PT.dynamic) dynamic = address;
  }
  // Without PT_PHDR the program is where it was linked.
  const found = bias ?? 0;
  return { bias: found, dynamic: dynamic === null ? 0 : found + dynamic };
}

function ofImage(read: Read, start: number): Placement | null {
  const header = read(start, EHDR_BYTES);
  if (header?.getUint32(0, true) !== ELF_MAGIC) return null;
  return placement(read, start + addressAt(header, 32), header.getUint16(56, true), start);
}

const AT_PHNUM = 5n;

function programPlacement(target: DebugTarget, tid: number, pid: number): Placement | null {
  const { auxv } = target.executable(pid);
  const headers = auxiliary(auxv, AT_PHDR);
  const count = auxiliary(auxv, AT_PHNUM);
  if (headers === null || count === null) return null;
  return placement(reader(target, tid), Number(headers), Number(count), null);
}

/** Where the program's dynamic section has the address of the dynamic linker's r_debug; 0: nowhere. */
export function debugEntry(target: DebugTarget, tid: number, pid: number): number {
  const dynamic = programPlacement(target, tid, pid)?.dynamic ?? 0;
  const read = reader(target, tid);
  for (let index = 0; dynamic !== 0 && index < MOST_ENTRIES; index++) {
    const entry = dynamic + index * DYNAMIC_BYTES;
    const tag = read(entry, DYNAMIC_BYTES)?.getBigUint64(0, true) ?? 0n;
    if (tag === 0n) break;
    if (tag === BigInt(DT_DEBUG)) return entry + 8;
  }
  return 0;
}

/** The address at which the dynamic linker notifies debuggers of changes to its list (r_brk); 0: not set yet. */
export function changeAddress(target: DebugTarget, tid: number, pid: number): number {
  const read = reader(target, tid);
  const rDebug = read(debugEntry(target, tid, pid), 8);
  const view = rDebug && read(addressAt(rDebug, 0) + 16, 8);
  return view ? addressAt(view, 0) : 0;
}

/** The dynamic linker's entries by the addresses of dynamic sections. */
function linkMaps(target: DebugTarget, tid: number, pid: number): Map<number, number> {
  const read = reader(target, tid);
  const pointer = (address: number): number => {
    const view = read(address, 8);
    return view ? addressAt(view, 0) : 0;
  };
  const found = new Map<number, number>();
  const rDebug = pointer(debugEntry(target, tid, pid));
  let entry = rDebug === 0 ? 0 : pointer(rDebug + 8);
  // l_addr, l_name, l_ld, l_next
  while (entry !== 0 && found.size < MOST_LIBRARIES) {
    const dynamic = pointer(entry + 16);
    if (found.has(dynamic)) break;
    found.set(dynamic, entry);
    entry = pointer(entry + 24);
  }
  return found;
}

/**
 * The program first, since clients take the first for it if they know none; the others in order of their addresses.
 */
export function loadedModules(target: DebugTarget, tid: number, pid: number): LoadedModule[] {
  const mappings = target.mappings(tid);
  const code = new Set(mappings.filter(({ prot }) => prot & Prot.exec).map(({ file }) => file?.path));
  const read = reader(target, tid);
  const listed = linkMaps(target, tid, pid);
  const program = programOf(target, pid);
  const found: LoadedModule[] = [];
  for (const { start, file } of mappings) {
    if (!file || file.offset !== 0 || !code.has(file.path)) continue;
    // A file that is read by mapping it, or its first page again for a segment that ends there.
    if (found.at(-1)?.path === file.path) continue;
    const image = ofImage(read, start);
    if (!image) continue;
    const { bias, dynamic } = image;
    const linkMap = listed.get(dynamic) ?? 0;
    found.push({ path: file.path, bias, dynamic, linkMap, isProgram: file.path === program });
  }
  return found.sort((a, b) => Number(b.isProgram) - Number(a.isProgram));
}
