import type { Gva } from '../../base/address.js';
import type { Predicate } from '../../base/predicate.js';
import type { SoughtKinds } from '../../x86/instruction-sites.js';
import type { WatchedPiece } from '../stops/value-watches.js';
import type { Assembler } from './assembler.js';

/** A stop wherever one of these holds; always, if there are none. */
export type CountedStop = readonly Predicate[];

/** A stop without a condition. */
export const ALWAYS: CountedStop = [];

export const isSameStop = (one: CountedStop, other: CountedStop | undefined): boolean =>
  one.length === other?.length && one.every((predicate, index) => predicate === other[index]);

/** A change of any of the pieces is a stop if one of the predicates holds. */
export interface Watched {
  readonly pieces: readonly WatchedPiece[];
  readonly predicates: readonly Predicate[];
}

/** What is copied, and for where. */
export interface Source {
  /** The page, and what is readable of it and of the 15 bytes after it. */
  readonly page: Gva;
  readonly bytes: Uint8Array;
  /** Where in the page control arrives. */
  readonly entry: number;
  /** The address that the copy will be at, and that of its area. */
  readonly at: number;
  readonly area: number;
  /** Where in the area the page's instruction at an offset has a copy already; 0: nowhere. */
  readonly known: (offset: number) => number;
  /** What the copy is to stop for before the instruction there; null: nothing. */
  readonly stopAt: (address: Gva) => CountedStop | null;
  /** Instructions that are to raise #UD, as they do in the page that the processor executes (mm/hidden-code.ts); or null. */
  readonly hides: SoughtKinds | null;
  readonly watched: Watched | null;
  /** Whether loops are copied once more, to count in registers: costs more to translate, and less to run. */
  readonly loops: boolean;
}

/** An exit of a unit to a place that has no copy yet. */
export interface Exit {
  /** Offset in the unit of the word that tells where it goes, at first to `stub`. */
  readonly slot: number;
  readonly stub: number;
  readonly target: Gva;
}

export interface Unit {
  readonly code: Assembler;
  /** By offset in the page: where in the unit its copy is, negative where that leaves at once, counted from 1. */
  readonly starts: ReadonlyMap<number, number>;
  /** By offset in the page of an unconditional stop: where in the unit the copy behind its INT3 is, counted from 0. */
  readonly passing: ReadonlyMap<number, number>;
  readonly exits: readonly Exit[];
  /** Offsets in the page where calls of the unit come back to. */
  readonly returns: readonly number[];
  /** An instruction goes on in the next page. */
  readonly straddles: boolean;
}
