/**
 * Where the components of extended state lie in an XSAVE area, from CPUID leaf 0xD (Intel SDM vol. 1, 13.2
 * and 13.4). Processors disagree from component 5 on, so the recording's layout and the hardware's are two
 * values of one type.
 */

import type { ErrorCode } from '../base/errors.js';
import { RevenantError } from '../base/errors.js';
import { hex } from '../base/address.js';

/** One result of CPUID; `ecxIn` 0xffffffff: does not depend on ECX. */
export interface CpuidLeaf {
  readonly eaxIn: number;
  readonly ecxIn: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

/** An extended component, bit >= 2 (x87 and SSE are always in the legacy region). */
export interface XstateComponent {
  readonly bit: number;
  /** In the standard form; from the base of the area. */
  readonly offset: number;
  readonly size: number;
  /** The compacted form places it on a 64-byte boundary. */
  readonly aligned: boolean;
}

/** Invariant: components ascend by bit, lie in [576, size) and do not overlap. */
export interface XstateLayout {
  readonly xcr0: bigint;
  /** Bytes of an area in standard form; 512 (no header) where the processor has no XSAVE. */
  readonly size: number;
  readonly components: readonly XstateComponent[];
}

/** Legacy region: x87 in [0, 24) and [32, 160), MXCSR and its mask in [24, 32), XMM in [160, 416). */
export const LEGACY_SIZE = 512;
export const HEADER_OFFSET = 512;
/** First byte after the header: where components begin in both forms. */
export const EXTENDED_OFFSET = 576;
/** XSAVE areas larger than this do not exist (AMX needs 11008) and do not fit the context page. */
export const MAX_XSTATE_SIZE = 16384;

export const X87 = 1n;
export const SSE = 2n;
export const AVX = 4n;
export const PKRU = 1n << 9n;
export const PKRU_BIT = 9;
/** XCOMP_BV[63]: the area is in compacted form. */
export const COMPACTED = 1n << 63n;

const COMPONENT_NAMES: Record<number, string> = {
  0: 'x87',
  1: 'SSE',
  2: 'AVX',
  3: 'BNDREGS',
  4: 'BNDCSR',
  5: 'opmask',
  6: 'ZMM_Hi256',
  7: 'Hi16_ZMM',
  8: 'PT',
  9: 'PKRU',
  10: 'PASID',
  11: 'CET_U',
  12: 'CET_S',
  13: 'HDC',
  14: 'UINTR',
  15: 'LBR',
  16: 'HWP',
  17: 'XTILECFG',
  18: 'XTILEDATA',
  19: 'APX',
  62: 'LWP',
};

/** The manual's name of a state component, "bit 23" for unnamed ones. */
export const componentName = (bit: number): string => COMPONENT_NAMES[bit] ?? `bit ${bit}`;

/** Names of the bits set, lowest first: 0x207n => ['x87', 'SSE', 'AVX', 'PKRU']. */
export function xcr0Names(xcr0: bigint): string[] {
  const names: string[] = [];
  for (let bit = 0; bit < 64; bit++) if ((xcr0 >> BigInt(bit)) & 1n) names.push(componentName(bit));
  return names;
}

/** The first record that matches, as rr looks them up; undefined = CPUID returns zeros. */
export function findLeaf(
  records: readonly CpuidLeaf[],
  leaf: number,
  subleaf: number,
): CpuidLeaf | undefined {
  return records.find(
    (record) =>
      record.eaxIn >>> 0 === leaf && (record.ecxIn >>> 0 === subleaf || record.ecxIn >>> 0 === 0xffff_ffff),
  );
}

const refuse = (code: ErrorCode, what: string): never => {
  throw new RevenantError(code, `CPUID leaf 0xd does not describe an XSAVE area: ${what}.`);
};

function readComponents(records: readonly CpuidLeaf[], xcr0: bigint, code: ErrorCode): XstateComponent[] {
  const components: XstateComponent[] = [];
  for (let bit = 2; bit < 63; bit++) {
    if (!((xcr0 >> BigInt(bit)) & 1n)) continue;
    const leaf = findLeaf(records, 0xd, bit);
    if (!leaf || leaf.eax === 0) {
      return refuse(code, `XCR0 ${hex(xcr0)} has ${componentName(bit)}, which CPUID does not enumerate`);
    }
    const [size, offset] = [leaf.eax >>> 0, leaf.ebx >>> 0];
    if (offset < EXTENDED_OFFSET || offset + size > MAX_XSTATE_SIZE) {
      return refuse(code, `${componentName(bit)} at ${offset}, ${size} bytes, is outside [576, 16384)`);
    }
    for (const other of components) {
      if (offset < other.offset + other.size && other.offset < offset + size) {
        return refuse(code, `${componentName(bit)} overlaps ${componentName(other.bit)}`);
      }
    }
    components.push({ bit, offset, size, aligned: (leaf.ecx & 2) !== 0 });
  }
  return components;
}

function extentOf(components: readonly XstateComponent[]): number {
  return components.reduce((end, { offset, size }) => Math.max(end, offset + size), EXTENDED_OFFSET);
}

function effectiveXcr0(records: readonly CpuidLeaf[], xcr0: bigint, code: ErrorCode): bigint {
  const root = findLeaf(records, 0xd, 0);
  const value = xcr0 || (root ? (BigInt(root.edx >>> 0) << 32n) | BigInt(root.eax >>> 0) : 3n) || 3n;
  if ((value & X87) === 0n || value >= COMPACTED) return refuse(code, `XCR0 cannot be ${hex(value)}`);
  return value;
}

/**
 * The layout of a recording's XSAVE images. `xcr0` 0n (old traces): all that leaf 0xD enumerates, or 3 without
 * that leaf. The image's size is EBX of (0xd, 0), and 512 without that leaf.
 * @throws RevenantError E_TRACE_CORRUPT when the records contradict themselves.
 */
export function recordedLayout(records: readonly CpuidLeaf[], xcr0: bigint): XstateLayout {
  const code = 'E_TRACE_CORRUPT';
  const value = effectiveXcr0(records, xcr0, code);
  const root = findLeaf(records, 0xd, 0);
  if (!root) {
    if (value > 3n) return refuse(code, `it is missing, and XCR0 is ${hex(value)}`);
    return { xcr0: value, size: LEGACY_SIZE, components: [] };
  }
  const components = readComponents(records, value, code);
  const size = root.ebx >>> 0;
  if (size < extentOf(components) || size > MAX_XSTATE_SIZE) {
    return refuse(
      code,
      `EBX is ${size} bytes; the components of XCR0 ${hex(value)} need ${extentOf(components)}`,
    );
  }
  return { xcr0: value, size, components };
}

/**
 * The layout that the processor (or KVM) at hand has for `xcr0`. EBX of (0xd, 0) is ignored: it depends on the XCR0
 * at the time of CPUID.
 * @throws RevenantError E_MACHINE_CANNOT when a component of `xcr0` is not enumerated.
 */
export function hardwareLayout(records: readonly CpuidLeaf[], xcr0: bigint): XstateLayout {
  const value = effectiveXcr0(records, xcr0, 'E_MACHINE_CANNOT');
  const components = readComponents(records, value, 'E_MACHINE_CANNOT');
  return { xcr0: value, size: extentOf(components), components };
}

/**
 * Offsets of the compacted form (SDM vol. 1, 13.4.3) of an area whose XCOMP_BV[62:0] is `mask`; `size` is what the
 * instruction touches at most. Precondition: `mask` has no bit that `layout` lacks.
 */
export function compactedLayout(layout: XstateLayout, mask: bigint): XstateLayout {
  let end = EXTENDED_OFFSET;
  const components: XstateComponent[] = [];
  for (const component of layout.components) {
    if (!((mask >> BigInt(component.bit)) & 1n)) continue;
    const offset = component.aligned ? Math.ceil(end / 64) * 64 : end;
    components.push({ ...component, offset });
    end = offset + component.size;
  }
  return { xcr0: layout.xcr0, size: end, components };
}

/** Bytes of PKRU; the component has four more, which belong to no register. */
const PKRU_SIZE = 4;

/** Bytes of a component that are registers or reserved within them; the rest is not part of the state. */
export const significantBytes = ({ bit, size }: XstateComponent): number =>
  bit === PKRU_BIT ? Math.min(PKRU_SIZE, size) : size;

export const findComponent = (layout: XstateLayout, bit: number): XstateComponent | undefined =>
  layout.components.find((component) => component.bit === bit);

/** True if a component has another offset or size in areas in standard form. */
export function componentsDiffer(a: XstateLayout, b: XstateLayout): boolean {
  return a.components.some(({ bit, offset, size }) => {
    const other = findComponent(b, bit);
    return other !== undefined && (other.offset !== offset || other.size !== size);
  });
}

/** True if images of one layout are images of the other, byte for byte. */
export function sameLayout(a: XstateLayout, b: XstateLayout): boolean {
  if (a.xcr0 !== b.xcr0 || a.size !== b.size || a.components.length !== b.components.length) return false;
  return a.components.every((component, index) => {
    const other = b.components[index];
    return component.bit === other.bit && component.offset === other.offset && component.size === other.size;
  });
}
