/**
 * Whether two images of extended state hold the same values, as evidence that a program is at the
 * same place. Compared: x87 and vector registers, masks. Not compared: status, control and pointers
 * of x87, MXCSR, PKRU, and empty x87 registers, which keep popped values; processors and emulators
 * differ in these unobserved values.
 */
import { ST0, XMM0, xstateBv, type XstateImage } from './xstate-image.js';
import { AVX, SSE, X87, findComponent, type XstateLayout } from './xstate-layout.js';

const FSW_TOP_BYTE = 3;
const FTW = 4;
const ST_BYTES = 10;
const AVX_BIT = 2;
/** Bytes of one register in each component of vector registers or masks (SDM vol. 1, 13.5). */
const REGISTERS: readonly { bit: number; size: number; name: string; first: number }[] = [
  { bit: 5, size: 8, name: 'k', first: 0 },
  { bit: 6, size: 32, name: 'zmm', first: 0 },
  { bit: 7, size: 64, name: 'zmm', first: 16 },
];

/** An image and the layout that it has. */
export interface XstateOf {
  readonly image: XstateImage;
  readonly layout: XstateLayout;
}

/** Names of the registers that differ, each once; the widest name for a register in several components. */
export function differingVectors(a: XstateOf, b: XstateOf): string[] {
  const names: string[] = [];
  for (let i = 0; i < 8; i++) if (!sameSt(a.image, b.image, i)) names.push(`st${i}`);
  const wide = (AVX & a.layout.xcr0 & b.layout.xcr0) !== 0n;
  for (let i = 0; i < 16; i++) {
    const low = samePart(a.image, partOf(a, SSE, XMM0 + 16 * i), b.image, partOf(b, SSE, XMM0 + 16 * i), 16);
    const high = !wide || sameInComponent(a, b, AVX_BIT, 16 * i, 16);
    if (!low || !high) names.push(`${high ? 'xmm' : 'ymm'}${i}`);
  }
  for (const { bit, size, name, first } of REGISTERS) {
    const component = findComponent(a.layout, bit);
    if (!component || !findComponent(b.layout, bit)) continue;
    for (let i = 0; i * size < component.size; i++)
      if (!sameInComponent(a, b, bit, i * size, size)) names.push(`${name}${first + i}`);
  }
  return names;
}

/** Where a part of a component is stored; -1: in its initial state, which is zeros, whatever is stored. */
const partOf = ({ image }: XstateOf, component: bigint, at: number): number =>
  (xstateBv(image) & component) !== 0n ? at : -1;

function sameInComponent(a: XstateOf, b: XstateOf, bit: number, offset: number, size: number): boolean {
  const [inA, inB] = [findComponent(a.layout, bit), findComponent(b.layout, bit)];
  if (!inA || !inB) return true;
  const mask = 1n << BigInt(bit);
  const [atA, atB] = [partOf(a, mask, inA.offset + offset), partOf(b, mask, inB.offset + offset)];
  return samePart(a.image, atA, b.image, atB, size);
}

function samePart(a: XstateImage, atA: number, b: XstateImage, atB: number, size: number): boolean {
  for (let i = 0; i < size; i++) {
    if ((atA < 0 ? 0 : a[atA + i]) !== (atB < 0 ? 0 : b[atB + i])) return false;
  }
  return true;
}

function sameSt(a: XstateImage, b: XstateImage, index: number): boolean {
  const used = isUsed(a, index);
  if (used !== isUsed(b, index)) return false;
  const at = ST0 + 16 * index;
  return !used || samePart(a, at, b, at, ST_BYTES);
}

/** FXSAVE's abridged tag: a bit for each register by its number, while the image stores them by their distance from TOP. */
function isUsed(image: XstateImage, index: number): boolean {
  if ((xstateBv(image) & X87) === 0n) return false;
  const top = (image[FSW_TOP_BYTE] >> 3) & 7;
  return ((image[FTW] >> ((top + index) & 7)) & 1) !== 0;
}
