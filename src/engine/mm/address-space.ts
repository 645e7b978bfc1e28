import {
  PAGE_SIZE,
  USER_END,
  pageFloor,
  type Gpa,
  type Gva,
  offsetBy,
  gva as toGva,
} from '../base/address.js';
import { PageFault } from '../x86/constants.js';
import type { GuestMemory } from '../kvm/guest-memory.js';
import { PageTables, Pte, type ShownPage } from '../kvm/page-tables.js';
import { SharedObject, releaseShared, retainShared } from './backing.js';
import { CopiesAhead } from './copies-ahead.js';
import { FaultRuns, readsZeros } from './fault-around.js';
import { BesideMappings, type CodeKeeper } from './beside-mappings.js';
import { isAllowed, unmapped } from './access.js';
import type { SoughtKinds } from '../x86/instruction-sites.js';
import type { KernelEntry } from './free.js';
import { HiddenCode } from './hidden-code.js';
import { clip, isShared, pageIndex, Prot, STUBS_NAME, type Vma } from './vma.js';
import { StalePages } from './stale-pages.js';
import { VmaSet } from './vma-set.js';

/**
 * One address space: the VMAs that a program requested, and the page tables derived from them. Pages appear on first
 * touch, by a fault or by a supervisor access of the engine. A private page with a count above one is mapped
 * read-only and copied on write.
 */
export class AddressSpace {
  vmas = new VmaSet();
  readonly tables: PageTables;
  /** Tasks that run in it. */
  users = 0;
  /** What of the translation caches must be flushed before the next entry, as present entries changed or went. */
  readonly stale = new StalePages();
  /** The program break and its start, as known from brk calls; 0: not yet. */
  brk = 0;
  brkStart = 0;
  /** How often the recorder changed code here: cached positions are then invalid. 0: never. */
  patches = 0;
  /** Lengths of attached System V segments, by address. */
  readonly shmLengths = new Map<number, number>();
  /** The local descriptor table, two words per descriptor. Immutable: forks share it. */
  ldt: Uint32Array | null = null;
  /** Ranges under MADV_DONTFORK. */
  private dontFork = new VmaSet();

  private readonly hidden: HiddenCode | null;
  private readonly runs = new FaultRuns();
  private readonly copies: CopiesAhead;
  /** Not inherited by forks, and neither is what lies beside mappings. */
  codeKeeper: CodeKeeper | null = null;
  readonly beside: BesideMappings;

  /** @param hides instructions that are to raise #UD: see HiddenCode */
  constructor(
    private readonly memory: GuestMemory,
    readonly kernel: KernelEntry,
    readonly hides: SoughtKinds | null = null,
  ) {
    this.tables = new PageTables(memory, kernel.low, kernel.high);
    this.copies = new CopiesAhead(memory, this.tables, (...change) => this.installPage(...change));
    this.beside = new BesideMappings(this, memory, this.tables);
    this.hidden = hides ? new HiddenCode(memory, hides) : null;
  }

  /** Page-table root for CR3. */
  get root(): Gpa {
    return this.tables.root;
  }

  /** Maps with MAP_FIXED semantics, replacing others. Precondition: page-aligned, start < end <= USER_END. */
  map(vma: Vma): void {
    // Before unmapping, which may remove the object's last mapping.
    retainShared(vma);
    this.codeKeeper?.changes(vma.start, vma.end);
    this.unmap(vma.start, vma.end);
    this.vmas.insert(vma);
    if (vma.name === STUBS_NAME) this.patches++;
  }

  /** brk returned `end`: the first call gives the start of the break. */
  brkMoved(end: number): void {
    if (this.brkStart === 0) this.brkStart = end;
    this.brk = end;
  }

  /** Removes [start, end). Shared objects that no mapping refers to any more are destroyed. */
  unmap(start: Gva, end: Gva): void {
    this.dontFork.remove(start, end);
    if (this.vmas.overlapping(start, end).length === 0) return;
    this.dropPages(start, end);
    this.change(start, end, () => null);
  }

  /** mprotect: page-table entries of resident pages are updated immediately. */
  protect(start: Gva, end: Gva, prot: number): void {
    this.codeKeeper?.changes(start, end);
    this.reveal(start, end);
    this.change(start, end, (part) => ({ ...part, prot }));
    for (const vma of this.vmas.overlapping(start, end)) {
      const part = clip(vma, start, end);
      if (part) this.tables.walk(part.start, part.end, (entry, gva) => this.refresh(entry, gva, vma));
    }
    this.stale.addAll();
  }

  /** Changes the VMAs of a range; the mapping counts of shared objects follow the splits that it takes. */
  private change(start: Gva, end: Gva, change: (part: Vma) => Vma | null): void {
    const before = this.vmas.overlapping(start, end);
    if (before.length === 0) return;
    const from = before[0].start;
    const to = before[before.length - 1].end;
    this.vmas.replace(start, end, change);
    for (const vma of this.vmas.overlapping(from, to)) retainShared(vma);
    for (const vma of before) releaseShared(vma);
  }

  /**
   * mremap to another place: VMAs and pages of [from, from + size) move to `to`, replacing what is there.
   * @param keepSource MREMAP_DONTUNMAP: the old range stays mapped, empty
   */
  move(from: Gva, to: Gva, size: number, keepSource: boolean): void {
    const end = offsetBy(from, size);
    const shift = to - from;
    const parts: Vma[] = [];
    for (const vma of this.vmas.overlapping(from, end)) {
      const part = clip(vma, from, end);
      if (part) parts.push({ ...part, start: offsetBy(part.start, shift), end: offsetBy(part.end, shift) });
    }
    for (const part of parts) retainShared(part);
    this.codeKeeper?.changes(from, end);
    this.codeKeeper?.changes(to, offsetBy(to, size));
    this.unmap(to, offsetBy(to, size));
    for (const part of parts) this.vmas.insert(part);
    this.movePages(from, to, size);
    if (!keepSource) this.unmap(from, end);
  }

  private movePages(from: Gva, to: Gva, size: number): void {
    this.reveal(from, offsetBy(from, size));
    this.tables.walk(from, offsetBy(from, size), (entry, gva) => {
      const words = this.memory.words;
      const low = words[entry];
      const high = words[entry + 1];
      this.tables.clear(entry);
      const target = this.tables.findOrMake(offsetBy(to, gva - from));
      words[target] = low;
      words[target + 1] = high;
    });
    this.stale.addAll();
  }

  /** Drops resident pages of [start, end): private ones are read again from zeros or their file (MADV_DONTNEED). */
  dropPages(start: Gva, end: Gva): void {
    this.codeKeeper?.changes(start, end);
    this.reveal(start, end);
    this.tables.walk(start, end, (entry, gva) => {
      this.memory.release(this.pageAt(gva, entry));
      this.tables.clear(entry);
    });
    this.stale.addAll();
  }

  /** MADV_REMOVE: a hole of zeros in shared objects, fresh pages elsewhere. */
  punch(start: Gva, end: Gva): void {
    for (const vma of this.vmas.overlapping(start, end)) {
      const part = clip(vma, start, end);
      if (!part) continue;
      if (part.backing instanceof SharedObject) {
        const first = part.offset / PAGE_SIZE;
        part.backing.zero(first, first + (part.end - part.start) / PAGE_SIZE);
      } else {
        this.dropPages(part.start, part.end);
      }
    }
  }

  /** Ranges under MADV_DONTFORK. */
  get keptFromForks(): Iterable<Vma> {
    return this.dontFork;
  }

  setDontFork(start: Gva, end: Gva, on: boolean): void {
    this.dontFork.remove(start, end);
    if (!on) return;
    for (const vma of this.vmas.overlapping(start, end)) {
      const part = clip(vma, start, end);
      if (part) this.dontFork.insert(part);
    }
  }

  /**
   * Serves a page fault of the program. False if the access is not allowed: a signal, not a page to fill.
   * @param errorCode as the processor pushed it (PageFault)
   */
  fault(address: Gva, errorCode: number): boolean {
    if (address < 0 || errorCode & (PageFault.reserved | PageFault.key)) return false;
    const vma = this.vmas.find(address);
    if (!vma || !isAllowed(vma.prot, errorCode)) return false;
    const page = pageFloor(address);
    const wasThere = this.processorEntry(page) !== 0;
    if (errorCode & PageFault.write) this.makeWritable(vma, page);
    else this.makeResident(vma, page, false);
    if (!wasThere || !(errorCode & PageFault.write)) this.faultAround(vma, page, errorCode, wasThere);
    else if (this.copies.after(vma, page)) this.stale.addAll();
    return true;
  }

  /** True if the program may access all of [start, start + size) in this way: `Prot.read` or `Prot.write`. */
  allows(start: Gva, size: number, access: number): boolean {
    for (let at = start as number; at < start + size;) {
      const vma = this.vmas.find(toGva(at));
      if (!vma || (vma.prot & access) === 0) return false;
      at = vma.end;
    }
    return true;
  }

  /** Maps `page` at `gva`, replacing any other. The entry takes a reference. */
  pinPage(gva: Gva, page: Gpa): void {
    const vma = this.vmas.find(gva);
    if (!vma) return;
    this.codeKeeper?.changes(gva, offsetBy(gva, PAGE_SIZE));
    const entry = this.tables.findOrMake(gva);
    this.reveal(gva, offsetBy(gva, PAGE_SIZE));
    if (!this.tables.isEmpty(entry)) {
      const before = this.pageAt(pageFloor(gva), entry);
      if (before === page) return;
      this.memory.release(before);
    }
    this.memory.retain(page);
    this.installPage(entry, page, vma);
    this.stale.add(pageFloor(gva));
  }

  /** The page of `gva` for reading by the engine, whatever its protection; 0 if nothing is mapped there. */
  pageForRead(gva: Gva): Gpa {
    const resident = this.residentPage(gva);
    if (resident !== 0) return resident;
    const vma = this.vmas.find(gva);
    return vma ? this.makeResident(vma, pageFloor(gva), false) : (0 as Gpa);
  }

  /** The page of `gva` for writing by the engine, copied first if shared; 0 if nothing is mapped there. */
  pageForWrite(gva: Gva): Gpa {
    const vma = this.vmas.find(gva);
    if (!vma) return 0 as Gpa;
    const page = this.makeWritable(vma, pageFloor(gva));
    this.memory.willChange(page);
    return page;
  }

  /**
   * Index in `memory.words` of the page-table entry of `gva`, or 0 when it holds no page. For GuestStops, which
   * temporarily shows the processor another page: the page in it is not always the program's, see `residentPage`.
   */
  processorEntry(gva: Gva): number {
    const entry = this.tables.find(gva);
    return entry === 0 || this.tables.isEmpty(entry) ? 0 : entry;
  }

  /** Mapped, zero, and without a page: reading it, or writing zeros, need not allocate one. */
  isUntouched(gva: Gva): boolean {
    if (this.processorEntry(gva) !== 0) return false;
    const vma = this.vmas.find(gva);
    if (!vma || vma.backing?.kind === 'file') return false;
    return vma.backing === null || vma.backing.peek(pageIndex(vma, pageFloor(gva))) === 0;
  }

  /** Reads into `into`; returns how many bytes could be read before an unmapped page. Makes no pages of zeros. */
  read(start: Gva, into: Uint8Array): number {
    let done = 0;
    while (done < into.length) {
      const at = start + done;
      if (at < 0 || at >= USER_END) break;
      const offset = at % PAGE_SIZE;
      const count = Math.min(PAGE_SIZE - offset, into.length - done);
      if (this.isUntouched(toGva(at))) {
        into.fill(0, done, done + count);
      } else {
        const page = this.pageForRead(toGva(at));
        if (page === 0) break;
        into.set(this.memory.bytes.subarray(page + offset, page + offset + count), done);
      }
      done += count;
    }
    return done;
  }

  /** Writes `bytes`, whatever the protection; returns how many could be written before an unmapped page. */
  write(start: Gva, bytes: Uint8Array): number {
    let done = 0;
    while (done < bytes.length) {
      const at = start + done;
      const page = at >= 0 && at < USER_END ? this.pageForWrite(toGva(at)) : 0;
      if (page === 0) break;
      const offset = at % PAGE_SIZE;
      const count = Math.min(PAGE_SIZE - offset, bytes.length - done);
      this.memory.bytes.set(bytes.subarray(done, done + count), page + offset);
      done += count;
    }
    return done;
  }

  /**
   * A copy-on-write clone (fork). Shared mappings go on referring to the same objects.
   * @param whole also what MADV_DONTFORK keeps from children
   */
  fork(whole = false): AddressSpace {
    const child = new AddressSpace(this.memory, this.kernel, this.hides);
    child.vmas = this.vmas.clone();
    for (const vma of child.vmas) retainShared(vma);
    for (const vma of this.vmas) {
      if (isShared(vma)) continue;
      this.tables.walk(vma.start, vma.end, (entry, gva) => this.shareWith(child, entry, gva));
    }
    if (whole) child.dontFork = this.dontFork.clone();
    else for (const vma of this.dontFork) child.unmap(vma.start, vma.end);
    child.brk = this.brk;
    child.brkStart = this.brkStart;
    child.ldt = this.ldt;
    child.patches = this.patches;
    for (const [start, length] of this.shmLengths) child.shmLengths.set(start, length);
    this.copies.forget();
    this.stale.addAll();
    return child;
  }

  /** Shares a page of a private mapping with `child`. Results of scanning its code are valid for both. */
  private shareWith(child: AddressSpace, entry: number, gva: Gva): void {
    const { words } = this.memory;
    if (!this.hidden || !child.hidden?.inherit(this.hidden, gva)) this.memory.retain(this.pageAt(gva, entry));
    words[entry] = (words[entry] & ~Pte.writable) >>> 0;
    const copy = child.tables.findOrMake(gva);
    words[copy] = words[entry];
    words[copy + 1] = words[entry + 1];
  }

  /**
   * A copy-on-write copy with its own copies of shared objects: for checkpoints. Pages of shared mappings are removed
   * from the page tables and mapped again by faults, since objects are copied page by page on access.
   * @param copyOf the copy of a shared object, the same one for every mapping of it
   */
  snapshot(copyOf: (object: SharedObject) => SharedObject): AddressSpace {
    for (const vma of this.vmas) if (isShared(vma)) this.dropPages(vma.start, vma.end);
    const copy = this.fork(true);
    copy.vmas = new VmaSet();
    for (const vma of this.vmas) {
      const { backing } = vma;
      if (!(backing instanceof SharedObject)) {
        copy.vmas.insert(vma);
        continue;
      }
      backing.mappings--;
      const object = copyOf(backing);
      object.mappings++;
      copy.vmas.insert({ ...vma, backing: object });
    }
    return copy;
  }

  /** Visits the pages that are there, in order, as the program has them. */
  visitResident(start: Gva, end: Gva, visit: (gva: Gva, page: Gpa) => void): void {
    this.tables.walk(start, end, (entry, gva) => visit(gva, this.pageAt(gva, entry)));
  }

  /** The page of `gva` if it is there, as the program has it, else 0. */
  residentPage(gva: Gva): Gpa {
    const entry = this.processorEntry(gva);
    return entry === 0 ? (0 as Gpa) : this.pageAt(pageFloor(gva), entry);
  }

  destroy(): void {
    this.codeKeeper?.changes(toGva(0), toGva(USER_END));
    this.unmap(toGva(0), toGva(USER_END));
    this.tables.destroy();
  }

  /** Little-endian words at supervisor privilege; throw E_DIVERGED when unmapped: callers give the reason. */
  readU64(at: Gva, what: string): bigint {
    return new DataView(this.readExactly(at, 8, what).buffer).getBigUint64(0, true);
  }

  readU32(at: Gva, what: string): number {
    return new DataView(this.readExactly(at, 4, what).buffer).getUint32(0, true);
  }

  readExactly(at: Gva, size: number, what: string): Uint8Array {
    const bytes = new Uint8Array(size);
    if (this.read(at, bytes) < size) throw unmapped(at, size, what, 'read');
    return bytes;
  }

  writeExactly(at: Gva, bytes: Uint8Array, what: string): void {
    if (this.write(at, bytes) < bytes.length) throw unmapped(at, bytes.length, what, 'write');
  }

  private makeResident(vma: Vma, gva: Gva, writing: boolean): Gpa {
    const entry = this.tables.findOrMake(gva);
    if (!this.tables.isEmpty(entry)) return this.pageAt(gva, entry);
    const page = this.newPage(vma, pageIndex(vma, gva), writing);
    this.installPage(entry, page, vma);
    return page;
  }

  /**
   * The page of an entry as seen by everything but the processor: the only conversion from a `ShownPage` to a `Gpa`.
   */
  private pageAt(gva: Gva, entry: number): Gpa {
    const page: ShownPage = this.tables.shown(entry);
    return this.hidden ? this.hidden.original(gva, page) : (page as number as Gpa);
  }

  /** The originals of [start, end) are mapped again, for their pages to be changed or to go. */
  private reveal(start: Gva, end: Gva): void {
    for (const gva of this.hidden?.within(start, end) ?? []) {
      const original = this.hidden?.reveal(gva) ?? (0 as Gpa);
      const vma = this.vmas.find(gva);
      if (vma) this.installPage(this.tables.find(gva), original, vma);
      this.stale.add(gva);
    }
  }

  /** Before a page is executed: what must not be is hidden, and stores will be noticed. Whether its entry changed. */
  private makeExecutable(hidden: HiddenCode, vma: Vma, gva: Gva): boolean {
    const entry = this.tables.find(gva);
    if (entry === 0 || this.tables.isEmpty(entry) || hidden.has(gva)) return false;
    const page = this.pageAt(gva, entry);
    if (!hidden.isHeld(page, (vma.prot & Prot.write) !== 0)) return false;
    const shown = hidden.executable(gva, page, (at, into) => this.read(at, into));
    this.memory.markCode(shown);
    const hides = hidden.originals && hidden.has(gva) ? Pte.hides : 0;
    this.tables.set(entry, shown, (this.flagsFor(page, vma) & ~Pte.writable) | hides, false);
    return true;
  }

  private makeWritable(vma: Vma, gva: Gva): Gpa {
    this.codeKeeper?.changes(gva, offsetBy(gva, PAGE_SIZE));
    this.reveal(gva, offsetBy(gva, PAGE_SIZE));
    const page = this.makeResident(vma, gva, true);
    if (isShared(vma) || this.memory.count(page) === 1) {
      this.refreshAt(gva, vma);
      return page;
    }
    this.stale.add(gva);
    return this.copies.copy(this.tables.find(gva), page, vma);
  }

  /** A page for the VMA with one reference for its future entry. */
  private newPage(vma: Vma, index: number, writing: boolean): Gpa {
    const backing = vma.backing;
    if (backing === null)
      return !writing && readsZeros(vma) ? this.memory.retainZeros() : this.memory.allocate();
    if (backing.kind === 'file' && (writing || vma.prot & Prot.write)) return backing.privatePage(index);
    const page = backing.kind === 'file' ? backing.cachedPage(index) : backing.page(index);
    this.memory.retain(page);
    return page;
  }

  private installPage(entry: number, page: Gpa, vma: Vma): void {
    const executable = (vma.prot & Prot.exec) !== 0;
    if (executable) this.memory.markCode(page);
    const isHeld = !executable || this.hidden?.isHeld(page, (vma.prot & Prot.write) !== 0);
    this.tables.set(entry, page, this.flagsFor(page, vma), isHeld === true);
  }

  /** Recomputes an entry from its VMA and its page's count. */
  private refresh(entry: number, gva: Gva, vma: Vma): void {
    this.installPage(entry, this.pageAt(gva, entry), vma);
  }

  private refreshAt(gva: Gva, vma: Vma): void {
    const entry = this.tables.find(gva);
    const words = this.memory.words;
    const [before, high] = [words[entry], words[entry + 1]];
    this.refresh(entry, gva, vma);
    if ((before !== words[entry] || high !== words[entry + 1]) && before & Pte.present) this.stale.add(gva);
  }

  private flagsFor(page: Gpa, vma: Vma): number {
    if ((vma.prot & (Prot.read | Prot.write | Prot.exec)) === 0) return Pte.resident;
    const base = Pte.resident | Pte.present | Pte.user | Pte.accessed | Pte.dirty;
    const writable = vma.prot & Prot.write && (isShared(vma) || this.memory.count(page) === 1);
    return writable ? base | Pte.writable : base;
  }

  private faultAround(vma: Vma, gva: Gva, errorCode: number, wasThere: boolean): void {
    const writing = (errorCode & PageFault.write) !== 0;
    const toExecute = (errorCode & PageFault.fetch) !== 0;
    const { first, last } = this.runs.window(vma, gva, writing);
    for (let at = first; at < last; at += PAGE_SIZE) {
      const isCached = at === gva ? wasThere : toExecute && this.processorEntry(toGva(at)) !== 0;
      if (at !== gva) this.makeResident(vma, toGva(at), writing);
      if (toExecute && this.hidden && this.makeExecutable(this.hidden, vma, toGva(at)) && isCached)
        this.stale.add(toGva(at));
    }
  }
}
