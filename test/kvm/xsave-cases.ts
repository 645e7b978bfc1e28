/**
 * Random cases for the software XSAVE family, and the comparison with a processor's answers. A
 * driver executes them: on this processor (xsave-oracle.spec.ts) or an emulated one
 * (xsave-emulated.spec.ts).
 */
import { composeXsave, composeXsavec, composeXsaveopt, type AreaChunk } from '../../src/engine/x86/xsavec.js';
import { loadXrstor } from '../../src/engine/x86/xrstor.js';
import type { XsaveTraits } from '../../src/engine/x86/xsave-traits.js';
import { readU64, resetImage, writeU32, writeU64, xgetbv1 } from '../../src/engine/x86/xstate-image.js';
import {
  COMPACTED,
  compactedLayout,
  findComponent,
  significantBytes,
  type XstateLayout,
} from '../../src/engine/x86/xstate-layout.js';

/** Bytes of a state and of an area: AMX needs 11008. */
export const AREA = 12288;
export const Op = {
  xsave64: 0,
  xsave: 1,
  xsaveopt64: 2,
  xsavec64: 3,
  xsavec: 4,
  xrstor64: 5,
  xrstor: 6,
} as const;
export type OpName = keyof typeof Op;

export interface Case {
  readonly op: number;
  readonly mask: bigint;
  /** What the registers hold before: standard form. */
  readonly state: Uint8Array;
  /** The instruction's operand. */
  readonly area: Uint8Array;
}

export interface Answer {
  /** 0, or the signal that the instruction raised. */
  readonly signal: number;
  /** XGETBV with ECX 1 after it; null if the processor has none. */
  readonly inUse: bigint | null;
  readonly area: Uint8Array;
  /** The state that XSAVE64 with all bits stores after it. */
  readonly state: Uint8Array;
}

const SIGSEGV = 11;
const PKRU_BIT = 9;
const XTILECFG_BIT = 17;
const PKRU = 1n << 9n;
const XTILECFG = 1n << 17n;
const XTILEDATA = 1n << 18n;
/** Tiles of palette 1: 16 rows of 64 bytes. XRSTOR refuses what LDTILECFG would refuse. */
const [PALETTE, TILES, ROWS, ROW_BYTES, COLUMNS_AT, ROWS_AT] = [1, 8, 16, 64, 16, 48];
const MASKS: readonly bigint[] = [-1n, 0xeen, 7n, 6n, 4n, 2n, 1n, 0n];

let seed = 0x9e37_79b9;
export function random(limit: number): number {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return (seed >>> 0) % limit;
}

function fill(image: Uint8Array, start: number, end: number): void {
  for (let i = start; i < end; i++) image[i] = random(256);
}

/** Each bit with probability 1/2; tile data, which no state may hold without a tile configuration, with it. */
function someOf(bits: bigint): bigint {
  const some = BigInt.asUintN(32, BigInt(random(0x1_0000_0000))) & bits;
  return some & XTILECFG ? some : some & ~XTILEDATA;
}

/**
 * Random contents for the components of `components`; valid for XRSTOR, and with a PKRU that lets the program continue.
 */
function randomComponents(image: Uint8Array, layout: XstateLayout, components: bigint): void {
  if (components & 1n) {
    writeU32(image, 0, 0x37f | (random(4) << 10));
    // An unmasked invalid operation pending; bit 6 of FCW always reads 1.
    if (random(3) === 0) writeU32(image, 0, 0x8081_0340 | (random(32) << 1));
    image[4] = random(2) ? random(256) : 0;
    if (random(2)) fill(image, 8, 14);
    if (random(2)) fill(image, 16, 22);
    if (random(3)) for (let i = 0; i < 8; i++) fill(image, 32 + 16 * i, 42 + 16 * i);
    // Selectors are not kept in 64-bit images.
    image.fill(0, 12, 16);
    image.fill(0, 20, 24);
  }
  writeU32(image, 24, random(2) ? 0x1f80 : 0x1f80 | random(64));
  if (components & 2n && random(4)) fill(image, 160, 416);
  for (const { bit, offset, size } of layout.components) {
    if (!((components >> BigInt(bit)) & 1n) || random(4) === 0) continue;
    if (bit === PKRU_BIT) writeU32(image, offset, random(0x1_0000_0000) & ~3);
    else if (bit === XTILECFG_BIT) configureTiles(image, offset);
    else fill(image, offset, offset + size);
  }
  writeU64(image, 512, components);
}

function configureTiles(image: Uint8Array, offset: number): void {
  image[offset] = PALETTE;
  for (let tile = 0; tile < TILES; tile++) {
    image[offset + COLUMNS_AT + 2 * tile] = ROW_BYTES;
    image[offset + ROWS_AT + tile] = ROWS;
  }
}

export function randomState(layout: XstateLayout): Uint8Array {
  const image = new Uint8Array(AREA);
  image.set(resetImage(layout, 0));
  randomComponents(image, layout, someOf(layout.xcr0));
  return image;
}

const randomMask = (layout: XstateLayout): bigint =>
  random(2) ? BigInt.asUintN(64, MASKS[random(MASKS.length)]) : someOf(layout.xcr0);

export function saveCase(op: number, layout: XstateLayout): Case {
  const area = Uint8Array.from({ length: AREA }, () => random(256));
  // XSAVE reads XSTATE_BV, and faults on a compacted header.
  if (op !== Op.xsavec && op !== Op.xsavec64) {
    area.fill(0, 512, 576);
    writeU64(area, 512, someOf(layout.xcr0));
  }
  return { op, mask: randomMask(layout), state: randomState(layout), area };
}

/** What may be in the way of one driver: compacted areas, damaged headers, reserved bits of MXCSR. */
export interface RestoreOptions {
  readonly compacted: boolean;
  readonly badMxcsr: boolean;
}

/** An area as a program might leave it: standard or compacted, sometimes with an invalid header. */
export function restoreCase(op: number, layout: XstateLayout, { compacted, badMxcsr }: RestoreOptions): Case {
  const area = new Uint8Array(AREA);
  const components = someOf(layout.xcr0);
  if (compacted && random(2)) {
    const compaction = components | someOf(layout.xcr0);
    randomComponents(area, compactedLayout(layout, compaction), components);
    writeU64(area, 520, compaction | COMPACTED);
  } else {
    randomComponents(area, layout, components);
  }
  if (random(4) === 0) area[512 + random(64)] ^= 1 << random(8);
  if (badMxcsr && random(8) === 0) area[24 + random(4)] ^= 1 << random(8);
  return { op, mask: safeMask(randomMask(layout), area, layout), state: randomState(layout), area };
}

/** Does not load PKRU if a damaged header would take other bytes for it, which could block the program's accesses. */
function safeMask(mask: bigint, area: Uint8Array, layout: XstateLayout): bigint {
  const compaction = readU64(area, 520);
  const known = compaction & COMPACTED ? compactedLayout(layout, compaction & layout.xcr0) : layout;
  const pkru = findComponent(known, PKRU_BIT);
  const closed = pkru !== undefined && (area[pkru.offset] & 3) !== 0;
  return closed ? mask & ~PKRU : mask;
}

export function compose(
  { op, mask, state, area }: Case,
  layout: XstateLayout,
  traits: XsaveTraits,
): AreaChunk[] {
  const old = readU64(area, 512);
  const rules = { ...traits, wide: op !== Op.xsave && op !== Op.xsavec };
  if (op === Op.xsavec64 || op === Op.xsavec) return composeXsavec(state, layout, layout, mask, rules);
  if (op === Op.xsaveopt64) return composeXsaveopt(state, layout, layout, mask, old, rules);
  return composeXsave(state, layout, layout, mask, old, rules);
}

/** Why the answer to an instruction that saves is not what we would store; undefined: it is. */
export function saveProblem(
  one: Case,
  answer: Answer,
  layout: XstateLayout,
  traits: XsaveTraits,
): string | undefined {
  const [ours, theirs] = [applied(one.area, compose(one, layout, traits)), answer.area];
  const mxcsrMask = theirs.subarray(28, 32);
  if (difference(mxcsrMask, one.area.subarray(28, 32)) !== -1) ours.set(mxcsrMask, 28);
  if (answer.signal !== 0) return `signal ${answer.signal}`;
  return compared(ours, theirs) ?? inUseProblem(one.state, answer, layout, traits);
}

/** The same for one that restores; 'fault' where both raise one. */
export function restoreProblem(
  { op, mask, state, area }: Case,
  answer: Answer,
  layout: XstateLayout,
  traits: XsaveTraits,
  rules: { mxcsrMask: number; hasXsavec?: boolean },
): string | undefined {
  const { mxcsrWithAvx } = traits;
  const wide = op === Op.xrstor64;
  const result = loadXrstor(area, state, layout, layout, mask, { ...rules, wide, mxcsrWithAvx });
  if ((result === null ? SIGSEGV : 0) !== answer.signal) return `signal ${answer.signal}`;
  if (!result) return undefined;
  // XSAVE64 with all bits must store the same from our result and from the processor's state.
  const chunks = composeXsave(result, layout, layout, -1n, 0n, { ...traits, mxcsrMask: rules.mxcsrMask });
  const ours = applied(new Uint8Array(AREA), chunks);
  return compared(ours, answer.state) ?? inUseProblem(result, answer, layout, traits);
}

function inUseProblem(
  state: Uint8Array,
  { inUse }: Answer,
  layout: XstateLayout,
  traits: XsaveTraits,
): string | undefined {
  const ours = xgetbv1(state, layout, traits) & 0xffff_ffffn;
  return inUse === null || ours === inUse ? undefined : `XGETBV(1) ${inUse}, ours ${ours}`;
}

/** First differing offset, or -1. */
function difference(a: Uint8Array, b: Uint8Array): number {
  return Buffer.from(a).equals(Buffer.from(b)) ? -1 : a.findIndex((byte, index) => byte !== b[index]);
}

function compared(ours: Uint8Array, theirs: Uint8Array): string | undefined {
  const at = difference(ours, theirs);
  return at < 0 ? undefined : `byte ${at}: ${theirs[at]}, ours ${ours[at]}`;
}

function applied(area: Uint8Array, chunks: AreaChunk[]): Uint8Array {
  const result = area.slice();
  for (const { offset, bytes } of chunks) result.set(bytes, offset);
  return result;
}

/** The initial state with a PKRU that lets the program continue, and an area without zero bytes. */
export function pkruCase(op: number, layout: XstateLayout): Case {
  const state = new Uint8Array(AREA);
  state.set(resetImage(layout, 0x5555_5554));
  const area = new Uint8Array(AREA).fill(0xa5);
  area.fill(0, 512, 576);
  return { op, mask: PKRU, state, area };
}

/** How many bytes of PKRU the answer to `pkruCase` has; 0 if none. */
export function pkruStored({ op }: Case, { area }: Answer, layout: XstateLayout): number {
  const compacted = op === Op.xsavec || op === Op.xsavec64;
  const component = findComponent(compacted ? compactedLayout(layout, PKRU) : layout, PKRU_BIT);
  if (!component) return 0;
  const { offset, size } = component;
  if (area[offset] === 0xa5) return 0;
  return area[offset + significantBytes(component)] === 0xa5 ? significantBytes(component) : size;
}

export const headerText = (area: Uint8Array): string => Buffer.from(area.subarray(512, 576)).toString('hex');
