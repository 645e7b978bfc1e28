import { gva, pageFloor, type Gva } from '../../base/address.js';
import { evaluatePredicate, type Predicate } from '../../base/predicate.js';
import { getRegister, type RegisterWords } from '../../base/registers.js';
import type { AddressSpace } from '../../mm/address-space.js';
import type { Watchpoint } from '../../target.js';

/** Watched memory of 1, 2, 4 or 8 bytes, naturally aligned. */
export interface WatchedPiece {
  readonly address: Gva;
  readonly length: number;
}

/** Index of the piece that has all of a value; -1 if none does. */
export const pieceOf = (pieces: readonly WatchedPiece[], address: Gva, size: number): number =>
  pieces.findIndex((piece) => piece.address <= address && address + size <= piece.address + piece.length);

interface KnownWatch {
  readonly watch: Watchpoint;
  readonly pieces: readonly WatchedPiece[];
}

/** More are not compared after each store. */
const MAX_PIECES = 4;

/**
 * The watchpoints of a thread group that want a change of a value and a predicate, as long as the breakpoints and
 * watchpoints stay as they are. What was there before the program ran on is kept for one task at a time.
 */
export class ValueWatches {
  readonly pieces: readonly WatchedPiece[];
  readonly predicates: readonly Predicate[];
  /** By piece, its bytes as a number. */
  readonly before: BigUint64Array;

  /** Null if there are none, or too many. */
  static of(
    watches: readonly { watch: Watchpoint; pieces: readonly WatchedPiece[] | null }[],
  ): ValueWatches | null {
    const wanted = watches.filter(({ watch }) => watch.predicates !== undefined);
    const count = wanted.reduce((sum, { pieces }) => sum + (pieces?.length ?? Infinity), 0);
    if (count === 0 || count > MAX_PIECES) return null;
    const known = wanted.map(({ watch, pieces }) => ({ watch, pieces: pieces ?? [] }));
    return known.every(isComputable) ? new ValueWatches(known) : null;
  }

  private constructor(private readonly watches: readonly KnownWatch[]) {
    this.pieces = watches.flatMap(({ pieces }) => pieces);
    this.predicates = watches.flatMap(({ watch }) => watch.predicates ?? []);
    this.before = new BigUint64Array(this.pieces.length);
  }

  includes(watch: Watchpoint): boolean {
    return this.watches.some((each) => each.watch === watch);
  }

  /** Whether copies of code that test for the others test for these. */
  isSame(other: ValueWatches | null): boolean {
    if (other === null || other.pieces.length !== this.pieces.length) return false;
    const samePieces = this.pieces.every(
      ({ address, length }, index) =>
        address === other.pieces[index].address && length === other.pieces[index].length,
    );
    return (
      samePieces &&
      this.predicates.length === other.predicates.length &&
      this.predicates.every((predicate, index) => predicate === other.predicates[index])
    );
  }

  /** Whether there is memory to be watched. */
  isThere(space: AddressSpace): boolean {
    return this.pieces.every(({ address }) => space.pageForRead(pageFloor(address)) !== 0);
  }

  /** The program is about to run on. */
  capture(space: AddressSpace): void {
    this.pieces.forEach((piece, index) => (this.before[index] = valueAt(space, piece)));
  }

  /** Those whose value has changed since then, where their predicates hold, or cannot be computed. */
  hits(space: AddressSpace, registers: RegisterWords): Watchpoint[] {
    return this.watches
      .filter(({ watch, pieces }) => this.hasChanged(space, pieces) && this.holds(watch, space, registers))
      .map(({ watch }) => watch);
  }

  /** What was in watched memory before. */
  bytesBefore({ address, length }: Watchpoint): Uint8Array {
    const bytes = new Uint8Array(length);
    this.pieces.forEach((piece, index) => {
      for (let at = 0; at < piece.length; at++)
        if (piece.address + at >= address && piece.address + at < address + length)
          bytes[piece.address + at - address] = Number((this.before[index] >> BigInt(8 * at)) & 0xffn);
    });
    return bytes;
  }

  private hasChanged(space: AddressSpace, pieces: readonly WatchedPiece[]): boolean {
    return pieces.some((piece) => valueAt(space, piece) !== this.before[this.pieces.indexOf(piece)]);
  }

  private holds({ predicates = [] }: Watchpoint, space: AddressSpace, registers: RegisterWords): boolean {
    const context = {
      register: (slot: number) => getRegister(registers, slot),
      memory: (address: bigint, size: number) => {
        const bytes = new Uint8Array(8);
        const isThere =
          address < 2n ** 47n && space.read(gva(Number(address)), bytes.subarray(0, size)) === size;
        if (!isThere) throw new RangeError('no memory');
        return new DataView(bytes.buffer).getBigUint64(0, true);
      },
      earlier: (address: Gva, size: number) => this.earlier(address, size),
    };
    return predicates.some((predicate) => {
      try {
        return evaluatePredicate(predicate, context) !== 0n;
      } catch (error) {
        if (error instanceof RangeError) return true;
        throw error;
      }
    });
  }

  private earlier(address: Gva, size: number): bigint {
    const index = pieceOf(this.pieces, address, size);
    const shift = BigInt(8 * (address - this.pieces[index].address));
    return BigInt.asUintN(8 * size, this.before[index] >> shift);
  }
}

/** Whether what was there earlier is asked of single pieces only. */
const isComputable = ({ watch, pieces }: KnownWatch): boolean =>
  (watch.predicates ?? []).every((predicate) =>
    predicate.every((step) => step.op !== 'earlier' || pieceOf(pieces, step.address, step.size) >= 0),
  );

const bytes = new Uint8Array(8);
const view = new DataView(bytes.buffer);

function valueAt(space: AddressSpace, { address, length }: WatchedPiece): bigint {
  bytes.fill(0);
  space.read(address, bytes.subarray(0, length));
  return view.getBigUint64(0, true);
}
