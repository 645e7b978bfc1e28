/**
 * Addresses of thread-local variables, as libthread_db finds them for gdb in a live program, by the
 * descriptions of its structures in glibc (nptl_db/structs.def: three words each, the size in bits,
 * the number of elements, the offset).
 */
import type { Gva } from '../engine/base/address.js';
import { memoryOf, readView, readWord } from '../engine/base/memory-values.js';
import { Reg, getUnsigned } from '../engine/base/registers.js';
import type { DebugTarget } from '../engine/target.js';
import { PacketError } from './packet/fields.js';

/** Symbol names of the C library. */
export type SymbolOf = (name: string) => Gva | null;

interface Field {
  /** Bytes of an element. */
  readonly size: number;
  readonly offset: number;
}

/** A module's block is not allocated yet (dl-tls.h, TLS_DTV_UNALLOCATED). */
const UNALLOCATED = 0xffff_ffff_ffff_ffffn;
/** l_tls_offset of modules whose blocks are allocated on first use (NO_TLS_OFFSET, FORCED_DYNAMIC_TLS_OFFSET). */
const DYNAMIC = [0n, UNALLOCATED];
/** Modules of no program; a list in damaged memory may be a ring. */
const MAX_LISTS = 4096;

class ThreadLocals {
  constructor(
    private readonly target: DebugTarget,
    private readonly tid: number,
    private readonly symbolOf: SymbolOf,
  ) {}

  private field(name: string): Field {
    const at = this.symbolOf(`_thread_db_${name}`);
    const view = at === null ? null : readView(memoryOf(this.target, this.tid), at, 12);
    if (!view) throw new PacketError(`the C library does not describe ${name}`);
    return { size: view.getUint32(0, true) / 8, offset: view.getUint32(8, true) };
  }

  private word(at: number): bigint {
    const value = readWord(memoryOf(this.target, this.tid), at);
    if (value === null) throw new PacketError(`thread-local storage cannot be read at 0x${at.toString(16)}`);
    return value;
  }

  private pointer(at: number): number {
    return Number(this.word(at));
  }

  /** @param linkMap the module's `struct link_map`; 0: the program, which is static */
  address(offset: number, linkMap: number): number {
    const thread = getUnsigned(this.target.registers(this.tid), Reg.fs_base);
    const module = linkMap === 0 ? 1 : this.pointer(linkMap + this.field('link_map_l_tls_modid').offset);
    if (module === 0) throw new PacketError('the module has no thread-local storage');
    const block = this.block(thread, module);
    if (block !== null) return block + offset;
    // A block in static TLS may not be in the thread's vector yet.
    const distance = linkMap === 0 ? 0n : this.word(linkMap + this.field('link_map_l_tls_offset').offset);
    if (DYNAMIC.includes(distance)) throw new PacketError('the thread has not used the module yet');
    return thread - Number(distance) + offset;
  }

  /** By the thread's vector of blocks, where it is of the module's generation; else null. */
  private block(thread: number, module: number): number | null {
    const vector = this.pointer(thread + this.field('pthread_dtvp').offset);
    const entries = this.field('dtv_dtv');
    const entry = (index: number): number => vector + entries.offset + index * entries.size;
    const counter = this.field('dtv_t_counter').offset;
    if (this.pointer(entry(-1) + counter) < module) return null;
    if (this.word(entry(0) + counter) < this.generation(module)) return null;
    const value = this.word(entry(module) + this.field('dtv_t_pointer_val').offset);
    return value === UNALLOCATED || value === 0n ? null : Number(value);
  }

  /** The generation of the module; older vectors have another module under its number. */
  private generation(module: number): bigint {
    const global = this.symbolOf('_rtld_global') ?? this.symbolOf('_dl_tls_dtv_slotinfo_list');
    if (global === null) return 0n;
    const isDynamic = this.symbolOf('_rtld_global') !== null;
    const head = isDynamic ? this.field('rtld_global__dl_tls_dtv_slotinfo_list').offset : 0;
    let list = this.pointer(global + head);
    let left = module;
    for (let count = 0; list !== 0 && count < MAX_LISTS; count++) {
      const length = this.pointer(list + this.field('dtv_slotinfo_list_len').offset);
      if (left < length) {
        const slots = this.field('dtv_slotinfo_list_slotinfo');
        const slot = list + slots.offset + left * slots.size;
        return this.word(slot + this.field('dtv_slotinfo_gen').offset);
      }
      left -= length;
      list = this.pointer(list + this.field('dtv_slotinfo_list_next').offset);
    }
    return 0n;
  }
}

/**
 * The address of a thread-local variable.
 * @param offset within its module's block
 * @param linkMap the module's `struct link_map`; 0: a static program
 * Throws PacketError if it has none, or if the C library does not describe its structures (musl).
 */
export const threadLocalAddress = (
  target: DebugTarget,
  tid: number,
  offset: number,
  linkMap: number,
  symbolOf: SymbolOf,
): number => new ThreadLocals(target, tid, symbolOf).address(offset, linkMap);
